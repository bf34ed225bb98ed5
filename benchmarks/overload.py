"""How long payments wait under overload, compared with half load in the same run, for several lengths of the queue.

    python -m scripts.local.testing python -m benchmarks.overload [--seconds 8] [--queues 160 16 4] [--places 8]

Two gateway processes, wrk, signed requests of one merchant. For each length of the queue the gateway is started anew
and gets three loads: 16 connections without pause, which gives its rate; 32 connections that pause so that half of that
rate arrives; and 256 connections, which pause after a 503 for as long as its `Retry-After` says. Printed are the median
at half load, the median and the 99th percentile of the payments that were made under overload, and the share that was
refused.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command

from benchmarks.payments import sign_requests, start_gateway
from merchants.services import NewKey, create_merchant

HIGHEST_RATE = 600
RETRY_AFTER_MS = 2000

# A payment's answer names its order, whose number has the Idempotency-Key: so an answer finds its request's time.
SCRIPT = """
local requests, at, sent = {}, 0, {}
for line in io.lines("%s") do requests[#requests + 1] = line end
local ffi = require("ffi")
ffi.cdef("typedef struct { long sec; long usec; } moment; int gettimeofday(moment *now, void *zone);")
local moment = ffi.new("moment")
local function now() ffi.C.gettimeofday(moment, nil); return tonumber(moment.sec) + tonumber(moment.usec) / 1e6 end
request = function()
  at = at + 1
  local key, signature, stamp, body = requests[at]:match("^(%%S+) (%%S+) (%%S+) (.*)$")
  sent[key] = now()
  return wrk.format("POST", "/api/v1/payments", {
    ["Content-Type"] = "application/json", ["X-API-Key"] = "%s", ["X-Signature"] = signature,
    ["X-Timestamp"] = stamp, ["Idempotency-Key"] = key}, body)
end
local refusals = 0
delay = function()
  if refusals > 0 then refusals = refusals - 1; return %d end
  return -math.log(1 - math.random()) * %f
end
times, refused, other = "", 0, 0
response = function(status, headers, body)
  local key = body:match('"order_no": ?"BENCH%%-(%%x+)"')
  if status == 200 and key then times = times .. math.floor((now() - sent[key]) * 1e6) .. " "
  elseif status == 503 then refused = refused + 1; refusals = refusals + 1
  else other = other + 1 end
end
local threads = {}
setup = function(thread) threads[#threads + 1] = thread end
done = function()
  for _, thread in ipairs(threads) do
    io.write("refused=", thread:get("refused"), " other=", thread:get("other"), "\\n")
    io.write("times ", thread:get("times"), "\\n")
  end
end
"""


@dataclass(frozen=True, slots=True)
class Result:
    rate: float
    refused: float
    other: int
    seconds: tuple[float, ...]  # of each payment, in ascending order

    def percentile(self, percent: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * percent / 100))]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=8, help="of each load")
    options.add_argument("--queues", type=int, nargs="+", default=[160, 16, 4])
    options.add_argument("--places", type=int, default=8)
    chosen = options.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: install Debian's package wrk.")
    call_command("migrate", verbosity=0)
    email = f"bench-{uuid.uuid4().hex[:8]}@example.com"
    key = create_merchant(name="Benchmark", email=email).test_key
    os.environ["WEB_THREADS"] = str(chosen.places)
    for length in chosen.queues:
        os.environ["WEB_QUEUE_LENGTH"] = str(length)
        with start_gateway() as gateway:
            _load(gateway.base, key, 2, connections=16)  # loads modules, opens connections
            full = _load(gateway.base, key, chosen.seconds, connections=16)
            pause = 32 / (full.rate / 2)
            half = _load(gateway.base, key, chosen.seconds, connections=32, pause_seconds=pause)
            over = _load(gateway.base, key, chosen.seconds, connections=256)
        median, p99 = half.percentile(50), over.percentile(99)
        print(
            f"queue {length:3}: rate {full.rate:5.1f}/s  half load {half.rate:5.1f}/s, median {median * 1000:4.0f} ms"
            f"  overload {over.rate:5.1f}/s, refused {over.refused:4.0%}, other {over.other},"
            f" median {over.percentile(50) * 1000:5.0f} ms, p99 {p99 * 1000:5.0f} ms  p99 / median {p99 / median:5.1f}"
            f"  load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def _load(base: str, key: NewKey, seconds: int, *, connections: int, pause_seconds: float = 0.0) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        requests, script = Path(folder, "requests"), Path(folder, "script.lua")
        requests.write_text(sign_requests(key, seconds * HIGHEST_RATE + 2 * connections))
        script.write_text(SCRIPT % (requests, key.key, RETRY_AFTER_MS, pause_seconds * 1000))
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "60s",
            "-s",
            str(script),
            base,
        ]
        began = time.monotonic()
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        took = time.monotonic() - began
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", output)}
    found = re.search(r"^times ([\d ]+)$", output, re.MULTILINE)
    if found is None:
        sys.exit(f"No payment was made:\n{output}")
    times = tuple(sorted(int(value) / 1e6 for value in found.group(1).split()))
    answers = len(times) + counts["refused"]
    return Result(len(times) / took, counts["refused"] / answers, counts["other"], times)


if __name__ == "__main__":
    main()
