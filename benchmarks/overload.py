"""How long payments wait under overload, compared with half load in the same run, for several queues."""

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.load import GatewayProcess, start_gateway
from benchmarks.prepared import create_key, prepare_payment
from merchants.services import NewKey

BENCHMARK = Benchmark(
    "overload",
    "Signed `POST /payments` to two gateway processes: half of the highest rate, then 256 connections that pause after"
    " a 503 for as long as its `Retry-After` says; for several values of WEB_THREADS (places for work),"
    " WEB_QUEUE_LENGTH and WEB_QUEUE_SECONDS. One lane alone, as here, works in half of the places.",
    "The queue: a payment waits for those before it, each of which takes the CPU of one.",
)
CONNECTIONS, HALF_CONNECTIONS, OVERLOAD_CONNECTIONS = 16, 32, 256
HIGHEST_RATE = 600
RETRY_AFTER_MS = 2000

# A payment's answer names its order, whose number has the Idempotency-Key: so an answer finds its request's time.
SCRIPT = r"""
local requests, at, sent = {}, 0, {}
for line in io.lines("%s") do requests[#requests + 1] = line:gsub("\31", "\r\n") end
local ffi = require("ffi")
ffi.cdef("typedef struct { long sec; long usec; } moment; int gettimeofday(moment *now, void *zone);")
local moment = ffi.new("moment")
local function now() ffi.C.gettimeofday(moment, nil); return tonumber(moment.sec) + tonumber(moment.usec) / 1e6 end
request = function()
  at = at %% #requests + 1
  sent[requests[at]:match("BENCH%%-(%%x+)")] = now()
  return requests[at]
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
    io.write("refused=", thread:get("refused"), " other=", thread:get("other"), "\n")
    io.write("times ", thread:get("times"), "\n")
  end
end
"""


@dataclass(frozen=True, slots=True)
class Queue:
    """Of one process: the places for work, and the requests that wait for them, for so many seconds at most."""

    places: int
    length: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.places} places, {self.length} wait {self.seconds:g} s"


QUEUES = (
    Queue(8, 160, 20),
    Queue(8, 4, 20),
    Queue(4, 4, 20),
    Queue(4, 2, 20),
    Queue(2, 4, 20),
    Queue(2, 2, 20),
    Queue(4, 160, 0.1),
)


@dataclass(frozen=True, slots=True)
class OverloadResult:
    rate: float
    refused: float  # share of the answers
    other: int
    milliseconds: tuple[float, ...]  # of each payment, in ascending order

    def get_percentile(self, percent: float) -> float:
        return self.milliseconds[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * percent / 100))]


def measure(effort: Effort) -> list[Figure]:
    key, seconds = create_key(), effort.choose(10, 2)
    figures: list[Figure] = []
    for queue in QUEUES if not effort.quick else QUEUES[:1]:
        with start_gateway(
            WEB_THREADS=str(queue.places),
            WEB_QUEUE_LENGTH=str(queue.length),
            WEB_QUEUE_SECONDS=str(queue.seconds),
        ) as gateway:
            _send(gateway, key, 2, connections=CONNECTIONS)  # loads modules, opens connections
            highest = _send(gateway, key, seconds, connections=CONNECTIONS)
            pause_ms = HALF_CONNECTIONS * 1000 / (highest.rate / 2)
            half = _send(gateway, key, seconds, connections=HALF_CONNECTIONS, pause_ms=pause_ms)
            overload = _send(gateway, key, seconds, connections=OVERLOAD_CONNECTIONS)
        figures += _describe(str(queue), highest, half, overload)
    return figures


def _describe(
    name: str, highest: OverloadResult, half: OverloadResult, overload: OverloadResult
) -> list[Figure]:
    median = Figure(name=f"{name}, half load, median", value=half.get_percentile(50), unit="ms")
    p99 = overload.get_percentile(99)
    return [
        Figure(name=f"{name}, highest rate", value=highest.rate, unit="/s"),
        median,
        Figure(name=f"{name}, overload, rate", value=overload.rate, unit="/s"),
        Figure(name=f"{name}, overload, refused", value=overload.refused * 100, unit="%"),
        Figure(
            name=f"{name}, overload, p99",
            value=p99,
            unit="ms",
            ratio=p99 / median.value,
            ratio_to=median.name,
            aim="below 5",
        ),
        Figure(
            name=f"{name}, other answers", value=half.other + overload.other, unit="answers", aim="at most 0"
        ),
    ]


def _send(
    gateway: GatewayProcess, key: NewKey, seconds: int, *, connections: int, pause_ms: float = 0.0
) -> OverloadResult:
    with tempfile.TemporaryDirectory() as folder:
        lines, script = Path(folder, "requests"), Path(folder, "script.lua")
        requests = [prepare_payment(key).to_http() for _ in range(seconds * HIGHEST_RATE)]
        lines.write_bytes(b"".join(each.replace(b"\r\n", b"\x1f") + b"\n" for each in requests))
        script.write_text(SCRIPT % (lines, RETRY_AFTER_MS, pause_ms))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
        began = time.monotonic()
        output = subprocess.run([*command, gateway.base], capture_output=True, text=True, check=True).stdout
        took = time.monotonic() - began
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", output)}
    found = re.search(r"^times ([\d ]+)$", output, re.MULTILINE)
    assert found is not None, f"no payment was made: {output}"
    milliseconds = tuple(sorted(int(value) / 1e3 for value in found.group(1).split()))
    answers = len(milliseconds) + counts["refused"]
    return OverloadResult(
        len(milliseconds) / took, counts["refused"] / answers, counts["other"], milliseconds
    )
