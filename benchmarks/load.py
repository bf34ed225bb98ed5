"""A gateway of two processes, and wrk, which sends prepared requests to it and measures."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.prepared import PreparedRequest
from benchmarks.processes import Cpu, find_postgresql, find_redis, read_cpu_of_family, read_memory_mb

LONGEST_SECONDS = 600
READY_SECONDS = 120.0
RECEIVED_ALL = "received all\n"
GUNICORN = (sys.executable, "-m", "gunicorn", "--config", "python:payment_platform.gunicorn_conf")

# Sends each request once. The rate is that of the middle of the round, where all connections are busy.
SCRIPT = r"""
local requests, at = {}, 0
for line in io.lines("%s") do requests[#requests + 1] = line:gsub("\31", "\r\n") end
request = function()
  if at == #requests then return "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" end
  at = at + 1
  return requests[at]
end
-- After the last request, connections wait for the end; one that has passed this line already asks for /healthz.
delay = function() return at < #requests and 0 or 3600 * 1000 end
local ffi = require("ffi")
ffi.cdef("typedef struct { long sec; long usec; } moment; int gettimeofday(moment *now, void *zone);")
local moment = ffi.new("moment")
local function now() ffi.C.gettimeofday(moment, nil); return tonumber(moment.sec) + tonumber(moment.usec) / 1e6 end
local first, last, total, received = %d, %d, %d, 0
pages, answers, began, ended = 0, {}, 0, 0
response = function(status, headers, body)
  if body == "ok" then return end
  received = received + 1
  if received == first then began = now() end
  if received == last then ended = now() end
  answers[status] = (answers[status] or 0) + 1
  if body:find('"payment_url": ?"http') then pages = pages + 1 end
  if received == total then io.write("received all\n"); io.flush() end
end
local threads = {}
setup = function(thread) threads[#threads + 1] = thread end
done = function(summary, latency)
  for _, thread in ipairs(threads) do
    io.write("pages=", thread:get("pages"), " middle=", thread:get("ended") - thread:get("began"), "\n")
    for status, count in pairs(thread:get("answers")) do io.write("status ", status, "=", count, "\n") end
  end
  io.write("p50=", latency:percentile(50), " p99=", latency:percentile(99), "\n")
  io.write("timeouts=", summary.errors.timeout, "\n")
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRound:
    rate: float  # answers a second
    with_page: int  # answers with a payment page
    by_status: dict[int, int]
    timeouts: int
    p50_ms: float
    p99_ms: float
    cpu_ms: Cpu  # for one request
    memory_mb: float  # of the gateway's processes, at the end

    @property
    def succeeded(self) -> int:
        return self.by_status.get(200, 0)


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    base: str
    pid: int

    def send(
        self, requests: Sequence[PreparedRequest], *, connections: int, all_must_succeed: bool = True
    ) -> LoadRound:
        """Sends each request once, over so many connections."""
        connections = min(connections, len(requests))
        first, last = max(1, len(requests) // 5), len(requests) - len(requests) // 5
        with tempfile.TemporaryDirectory() as folder:
            script, lines = Path(folder, "script.lua"), Path(folder, "requests")
            # wrk looks at one request before it begins.
            sent = [requests[0], *requests]
            lines.write_bytes(b"".join(each.to_http().replace(b"\r\n", b"\x1f") + b"\n" for each in sent))
            script.write_text(SCRIPT % (lines, first, last, len(requests)))
            before = self._read_cpu()
            output = _run_wrk(script, self.base, connections)
            after = self._read_cpu()
        found = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", output)}
        milliseconds = {
            name: (getattr(after, name) - getattr(before, name)) * 1000 / len(requests)
            for name in ("web", "postgresql", "redis", "client")
        }
        round_ = LoadRound(
            rate=(last - first) / found["middle"],
            with_page=int(found["pages"]),
            by_status={
                int(status): int(count) for status, count in re.findall(r"status (\d+)=(\d+)", output)
            },
            timeouts=int(found["timeouts"]),
            p50_ms=found["p50"] / 1000,
            p99_ms=found["p99"] / 1000,
            cpu_ms=Cpu(**milliseconds),
            memory_mb=read_memory_mb(self.pid),
        )
        if all_must_succeed and round_.succeeded != len(requests):
            sys.exit(f"Not every request succeeded, which would be no comparison: {round_}")
        return round_

    def _read_cpu(self) -> Cpu:
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Cpu(
            web=read_cpu_of_family(self.pid),
            postgresql=read_cpu_of_family(find_postgresql()),
            redis=read_cpu_of_family(find_redis()),
            client=client.ru_utime + client.ru_stime,
        )


def _run_wrk(script: Path, base: str, connections: int) -> str:
    """Returns its summary, as soon as every request has an answer or the time is over."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is missing: install Debian's package wrk.")
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{LONGEST_SECONDS}s",
        "--timeout",
        "60s",
        "-s",
        str(script),
    ]
    with subprocess.Popen([*command, base], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == RECEIVED_ALL:
                break
        process.send_signal(signal.SIGINT)  # it ends early
        return process.stdout.read()


@contextmanager
def start_gateway(**environment: str) -> Iterator[GatewayProcess]:
    """Two processes, unless `environment` says otherwise."""
    port = find_free_port()
    process = subprocess.Popen(
        [*GUNICORN, "payment_platform.wsgi:application"],
        env={"WEB_WORKERS": "2", "WEB_THREADS": "8", **os.environ, "PORT": str(port), **environment},
        stdout=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(f"{base}/readyz")
        yield GatewayProcess(base, process.pid)
    finally:
        process.terminate()
        process.wait()


def find_free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    sys.exit("The gateway did not become ready.")
