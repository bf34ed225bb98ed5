"""Payments through a channel that takes 500 ms, compared with one that answers at once.

    python -m scripts.local.testing python -m benchmarks.slow_channel [--payments 600] [--rounds 3] [--connections 256]

Two gateway processes, one load generator (wrk), signed requests. Rounds alternate, so that other load on the machine
affects both. The slow channel is the simulator with the fault `slow`. Printed are rates, the share of answers 200 with
a `payment_url`, times, memory, and the CPU time of the gateway for one payment.

Each round sends a number of payments and waits for all answers. The rate is that of the middle of the round, where all
connections are busy.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command

from benchmarks.payments import sign_requests, start_gateway
from merchants.services import NewMerchant, create_merchant

LONGEST_SECONDS = 300
IDLE_SECONDS = 3.0

SCRIPT = """
local requests, at = {}, 0
for line in io.lines("%s") do requests[#requests + 1] = line end
request = function()
  if at == #requests then return wrk.format("GET", "/healthz") end
  at = at + 1
  local key, signature, stamp, body = requests[at]:match("^(%%S+) (%%S+) (%%S+) (.*)$")
  return wrk.format("POST", "/api/v1/payments", {
    ["Content-Type"] = "application/json", ["X-API-Key"] = "%s", ["X-Signature"] = signature,
    ["X-Timestamp"] = stamp, ["Idempotency-Key"] = key}, body)
end
local ffi = require("ffi")
ffi.cdef("typedef struct { long sec; long usec; } moment; int gettimeofday(moment *now, void *zone);")
local moment = ffi.new("moment")
local function now() ffi.C.gettimeofday(moment, nil); return tonumber(moment.sec) + tonumber(moment.usec) / 1e6 end
local first, last, received = %d, %d, 0
-- After the last request, connections wait for the end.
delay = function() return at < #requests and 0 or 3600 * 1000 end
paid, answers, began, ended = 0, {}, 0, 0
response = function(status, headers, body)
  if not body:find('"code"', 1, true) then return end
  received = received + 1
  if received == first then began = now() end
  if received == last then ended = now() end
  answers[status] = (answers[status] or 0) + 1
  if status == 200 and body:find('"payment_url": ?"http') then paid = paid + 1 end
end
local threads = {}
setup = function(thread) threads[#threads + 1] = thread end
done = function(summary, latency)
  for _, thread in ipairs(threads) do
    io.write("paid=", thread:get("paid"), " middle=", thread:get("ended") - thread:get("began"), "\\n")
    for status, count in pairs(thread:get("answers")) do io.write("status ", status, "=", count, "\\n") end
  end
  io.write("p50=", latency:percentile(50), " p99=", latency:percentile(99), "\\n")
  io.write("timeouts=", summary.errors.timeout, "\\n")
end
"""


@dataclass(frozen=True, slots=True)
class Round:
    rate: float
    with_page: int
    by_status: dict[int, int]
    timeouts: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float  # of the gateway processes, for one answer
    rss_mb: float  # of all gateway processes, the highest seen at the end of a round

    def __str__(self) -> str:
        answers = " ".join(f"{status}:{count}" for status, count in sorted(self.by_status.items()))
        return (
            f"{self.rate:6.1f}/s  with a page {self.with_page}  answers {answers}  timeouts {self.timeouts}"
            f"  p50 {self.p50_ms:5.0f} ms  p99 {self.p99_ms:5.0f} ms"
            f"  CPU {self.cpu_ms:4.1f} ms  memory {self.rss_mb:3.0f} MB"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--payments", type=int, default=600, help="in each round")
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
        load = Load(folder, gateway.base, gateway.pid, chosen.payments, chosen.connections)
        replace(load, payments=64).run("")  # loads modules, opens connections
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


def _create_merchant() -> NewMerchant:
    return create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com")


@dataclass(frozen=True, slots=True)
class Load:
    folder: Path
    base: str
    pid: int
    payments: int
    connections: int
    merchant: NewMerchant = field(default_factory=_create_merchant)

    def run(self, simulate: str) -> Round:
        requests = self.folder / "requests"
        # One more: wrk looks at a request before it begins.
        requests.write_text(sign_requests(self.merchant.test_key, self.payments + 1, simulate=simulate))
        script = self.folder / "script.lua"
        first, last = self.payments // 5, self.payments - self.payments // 5
        script.write_text(SCRIPT % (requests, self.merchant.test_key.key, first, last))
        cpu_before = _cpu_seconds(self.pid)
        command = ["wrk", "-t1", f"-c{self.connections}", f"-d{LONGEST_SECONDS}s", "--timeout", "60s"]
        with subprocess.Popen(
            [*command, "-s", str(script), self.base], stdout=subprocess.PIPE, text=True
        ) as process:
            _wait_until_idle(self.pid)
            process.send_signal(signal.SIGINT)  # it ends early and prints its summary
            output, _errors = process.communicate()
        found = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", output)}
        by_status = {int(status): int(count) for status, count in re.findall(r"status (\d+)=(\d+)", output)}
        memory = _memory_mb(self.pid)
        return Round(
            rate=(last - first) / found["middle"],
            with_page=int(found["paid"]),
            by_status=by_status,
            timeouts=int(found["timeouts"]),
            p50_ms=found["p50"] / 1000,
            p99_ms=found["p99"] / 1000,
            cpu_ms=(_cpu_seconds(self.pid) - cpu_before) * 1000 / self.payments,
            rss_mb=memory,
        )


def _wait_until_idle(pid: int) -> None:
    """Until the gateway has used no CPU for some seconds, which are longer than the slow channel takes."""
    while True:
        before = _cpu_seconds(pid)
        time.sleep(IDLE_SECONDS)
        if _cpu_seconds(pid) - before < IDLE_SECONDS / 50:
            return


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
