"""Payments through a channel that takes 500 ms, compared with one that answers at once.

    python -m scripts.local.testing python -m benchmarks.slow_channel [--seconds 10] [--rounds 3] [--connections 256]

Two gateway processes, one load generator (wrk), signed requests. Rounds alternate, so that other load on the machine
affects both. The slow channel is the simulator with the fault `slow`. Printed are rates, the share of answers 200 with
a `payment_url`, times, memory, and the CPU time of the gateway for one payment.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command

from benchmarks.payments import sign_requests, start_gateway
from merchants.services import create_merchant

HIGHEST_RATE = 400  # requests prepared for each second of a round

SCRIPT = """
local requests, at = {}, 0
for line in io.lines("%s") do requests[#requests + 1] = line end
request = function()
  at = at + 1
  local key, signature, stamp, body = requests[at]:match("^(%%S+) (%%S+) (%%S+) (.*)$")
  return wrk.format("POST", "/api/v1/payments", {
    ["Content-Type"] = "application/json", ["X-API-Key"] = "%s", ["X-Signature"] = signature,
    ["X-Timestamp"] = stamp, ["Idempotency-Key"] = key}, body)
end
paid, answers = 0, {}
response = function(status, headers, body)
  answers[status] = (answers[status] or 0) + 1
  if status == 200 and body:find('"payment_url": ?"http') then paid = paid + 1 end
end
local threads = {}
setup = function(thread) threads[#threads + 1] = thread end
done = function(summary, latency)
  for _, thread in ipairs(threads) do
    io.write("paid=", thread:get("paid"), "\\n")
    for status, count in pairs(thread:get("answers")) do io.write("status ", status, "=", count, "\\n") end
  end
  io.write("p50=", latency:percentile(50), " p99=", latency:percentile(99), "\\n")
  io.write("seconds=", summary.duration / 1e6, " timeouts=", summary.errors.timeout, "\\n")
end
"""


@dataclass(frozen=True, slots=True)
class Round:
    with_page: int
    by_status: dict[int, int]
    seconds: float
    timeouts: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of the gateway processes, for one answer
    rss_mb: float  # of all gateway processes, the highest seen at the end of a round

    @property
    def rate(self) -> float:
        return self.with_page / self.seconds

    def __str__(self) -> str:
        answers = " ".join(f"{status}:{count}" for status, count in sorted(self.by_status.items()))
        return (
            f"{self.rate:6.1f}/s with a page  answers {answers}  timeouts {self.timeouts}"
            f"  p50 {self.p50_ms:5.0f} ms  p99 {self.p99_ms:5.0f} ms"
            f"  CPU {self.cpu_ms:4.1f} ms  memory {self.rss_mb:3.0f} MB"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=256)
    options.add_argument("--slow", type=float, default=0.5, help="seconds that the slow channel takes")
    options.add_argument("--worker-class", default="", help="another worker of gunicorn, to compare")
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: install Debian's package wrk.")
    call_command("migrate", verbosity=0)
    rounds: dict[str, list[Round]] = {"instant": [], "slow": []}
    with _folder() as folder, start_gateway(worker_class=chosen.worker_class) as gateway:
        load = Load(folder, gateway.base, gateway.pid, chosen.seconds, chosen.connections)
        load.run("", seconds=2)  # loads modules, opens connections
        for _number in range(chosen.rounds):
            for name, script in (("instant", ""), ("slow", f"slow:{chosen.slow}*always")):
                rounds[name].append(load.run(script))
                print(f"{name:8}{rounds[name][-1]}  load {os.getloadavg()[0]:.1f}", flush=True)
    instant, slow = (statistics.median(each.rate for each in rounds[name]) for name in rounds)
    print(
        f"median: instant {instant:.1f}/s, slow {slow:.1f}/s, ratio {slow / instant:.2f} (aim: at least 0.9)"
    )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@dataclass
class Load:
    folder: Path
    base: str
    pid: int
    seconds: int
    connections: int

    def __post_init__(self) -> None:
        self.merchant = create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com")

    def run(self, simulate: str, *, seconds: int = 0) -> Round:
        seconds = seconds or self.seconds
        requests = self.folder / "requests"
        requests.write_text(sign_requests(self.merchant.test_key, seconds * HIGHEST_RATE, simulate=simulate))
        script = self.folder / "script.lua"
        script.write_text(SCRIPT % (requests, self.merchant.test_key.key))
        cpu_before = _cpu_seconds(self.pid)
        output = subprocess.run(
            [
                "wrk",
                "-t1",
                f"-c{self.connections}",
                f"-d{seconds}s",
                "--timeout",
                "30s",
                "-s",
                str(script),
                self.base,
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", output)}
        by_status = {int(status): int(count) for status, count in re.findall(r"status (\d+)=(\d+)", output)}
        answers = max(1, sum(by_status.values()))
        memory = _memory_mb(self.pid)
        self._let_requests_end()
        return Round(
            with_page=int(found["paid"]),
            by_status=by_status,
            seconds=found["seconds"],
            timeouts=int(found["timeouts"]),
            p50_ms=found["p50"] / 1000,
            p99_ms=found["p99"] / 1000,
            cpu_ms=(_cpu_seconds(self.pid) - cpu_before) * 1000 / answers,
            rss_mb=memory,
        )

    def _let_requests_end(self) -> None:
        """What wrk has left behind is served before the next round begins."""
        idle = _cpu_seconds(self.pid)
        for _second in range(30):
            time.sleep(1)
            now = _cpu_seconds(self.pid)
            if now - idle < 0.1:
                return
            idle = now


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for child in _family(pid):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    """Proportional: what the processes share is counted once."""
    total = 0
    for child in [pid, *_family(pid)]:
        text = Path(f"/proc/{child}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found.group(1)) if found else 0
    return total / 1024


if __name__ == "__main__":
    main()
