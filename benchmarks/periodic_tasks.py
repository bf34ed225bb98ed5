"""Celery's pools of processes, threads and greenlets, with the platform's periodic tasks.

    python -m scripts.local.testing python -m benchmarks.periodic_tasks [--rounds 3] [--pools prefork:2 threads:8]

Each round starts a worker of each pool, one after the other, and sends it the same messages: every light periodic task
so many times, in turn. Printed are CPU for one task, memory of the worker (what processes share is counted once), and
how long a light task waits while as many calls as a `prefork` of two has processes take two seconds each, as calls of a
slow channel do.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

import redis
from django.conf import settings
from django.core.management import call_command

from payment_platform.celery import app

LIGHT = (
    "backoffice.add_up_hours",
    "backoffice.expire_approvals",
    "backoffice.write_exports",
    "gateway.store_success_rates",
    "merchants.flush_key_usage",
    "webhooks.cancel_leftovers",
    "webhooks.send_notices",
)
DONE, SLOW_CALLS, SLOW_SECONDS = "benchmark-tasks-done", 2, 2.0
_redis = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=600)


@app.task(name="benchmark.call")
def call() -> None:
    """Waits as a call of a slow channel does."""
    time.sleep(SLOW_SECONDS)
    _redis.rpush(DONE, "call")


@app.task(name="benchmark.note")
def note() -> None:
    _redis.rpush(DONE, "note")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--pools", nargs="+", default=["prefork:2", "threads:2", "threads:8"])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--times", type=int, default=30)
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    for _round in range(chosen.rounds):
        for pool in chosen.pools:
            print(f"{pool:12}{_measure(pool, chosen.times)}  load {os.getloadavg()[0]:.1f}", flush=True)


def _measure(pool: str, times: int) -> str:
    with _start_worker(pool) as pid:
        _run(LIGHT)  # loads modules, opens connections
        before, began = _cpu_seconds(pid), time.monotonic()
        _run(LIGHT * times)
        seconds = time.monotonic() - began
        count = len(LIGHT) * times
        cpu_ms = (_cpu_seconds(pid) - before) * 1000 / count
        memory = _memory_mb(pid)
        began = time.monotonic()
        for _call in range(SLOW_CALLS):
            app.send_task("benchmark.call")
        app.send_task("benchmark.note")
        while (done := _wait_for_one()) != b"note":
            SLOW_DONE.append(done)
        waited = time.monotonic() - began
        for _call in range(SLOW_CALLS - len(SLOW_DONE)):
            _wait_for_one()
        SLOW_DONE.clear()
    return (
        f"{count / seconds:6.0f} tasks/s  CPU {cpu_ms:5.2f} ms  memory {memory:4.0f} MB"
        f"  light task beside slow calls after {waited:4.2f} s"
    )


SLOW_DONE: list[bytes] = []


def _run(tasks: tuple[str, ...]) -> None:
    """Sends the tasks, and waits until all have ended: the last ones note their end."""
    for task in tasks:
        app.send_task(task)
    app.send_task("benchmark.note")
    assert _wait_for_one() == b"note"
    while _redis.hlen(f"{_prefix()}unacked"):
        time.sleep(0.01)


def _prefix() -> str:
    return str(settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("global_keyprefix", ""))


def _wait_for_one() -> bytes:
    found = _redis.blpop([DONE], timeout=300)
    assert isinstance(found, tuple), "the worker does not work"
    return bytes(found[1])


@contextmanager
def _start_worker(pool: str) -> Iterator[int]:
    name, _colon, concurrency = pool.partition(":")
    options = ["--pool", name, "--concurrency", concurrency, "--without-gossip", "--without-mingle"]
    command = [
        "celery",
        "--quiet",
        "--app",
        "benchmarks.periodic_tasks:app",
        "worker",
        "--loglevel",
        "WARNING",
    ]
    with subprocess.Popen([sys.executable, "-m", *command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float:
    """Proportional: what the processes share is counted once."""
    total = 0
    for each in _family(pid):
        text = Path(f"/proc/{each}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
        total += int(found.group(1)) if found else 0
    return total / 1024


if __name__ == "__main__":
    main()
