"""Celery's pools of processes and threads, with the platform's light periodic tasks."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis

from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from benchmarks.processes import read_cpu_of_family, read_memory_mb
from common.redis import open_client
from payment_platform.celery import app

BENCHMARK = Benchmark(
    "periodic_tasks",
    "A Celery worker of two processes beside one of eight threads: the light periodic tasks in turn, and a light task"
    " beside two that wait two seconds each, as for a slow channel.",
    "Celery closes the pool of connections of a `prefork` child after each task, so that every task opens sessions.",
)
LIGHT = (
    "backoffice.add_up_hours",
    "backoffice.expire_approvals",
    "backoffice.write_exports",
    "gateway.store_success_rates",
    "merchants.flush_key_usage",
    "webhooks.cancel_leftovers",
    "webhooks.send_notices",
)
PROCESSES, THREADS = "prefork:2", "threads:8"
ENDED, SLOW_CALLS, SLOW_SECONDS = "benchmark-tasks-ended", 2, 2.0


@app.task(name="benchmark.call")
def call() -> None:
    """Waits as a call of a slow channel does."""
    time.sleep(SLOW_SECONDS)
    _connect().rpush(ENDED, "call")


@app.task(name="benchmark.note")
def note() -> None:
    _connect().rpush(ENDED, "note")


def _connect() -> redis.Redis:
    return open_client(timeout_seconds=600)


@dataclass(frozen=True, slots=True)
class PoolRound:
    cpu_ms: float  # for one task
    memory_mb: float
    wait_seconds: float  # of a light task beside slow calls


def measure(effort: Effort) -> list[Figure]:
    rounds: dict[str, list[PoolRound]] = {PROCESSES: [], THREADS: []}
    for _round in range(effort.rounds):
        for pool, found in rounds.items():
            found.append(_measure_one(pool, effort.choose(20, 1)))
    figures: list[Figure] = []
    for attribute, unit, text in (
        ("cpu_ms", "ms", "CPU for a task"),
        ("memory_mb", "MB", "memory"),
        ("wait_seconds", "s", "a light task beside slow ones ends after"),
    ):
        values = {pool: [getattr(each, attribute) for each in found] for pool, found in rounds.items()}
        base = median_figure(f"{PROCESSES}, {text}", values[PROCESSES], unit)
        figures += [base, median_figure(f"{THREADS}, {text}", values[THREADS], unit, base=base)]
    return figures


def _measure_one(pool: str, times: int) -> PoolRound:
    with _start_worker(pool) as pid:
        _run(LIGHT)  # loads modules, opens connections
        before = read_cpu_of_family(pid)
        _run(LIGHT * times)
        cpu_ms = (read_cpu_of_family(pid) - before) * 1000 / (len(LIGHT) * times)
        return PoolRound(cpu_ms, read_memory_mb(pid), _wait_beside_slow_calls())


def _run(tasks: tuple[str, ...]) -> None:
    for task in tasks:
        app.send_task(task)
    app.send_task("benchmark.note")
    assert _wait_for_one() == "note"


def _wait_beside_slow_calls() -> float:
    began = time.monotonic()
    for _call in range(SLOW_CALLS):
        app.send_task("benchmark.call")
    app.send_task("benchmark.note")
    ended = {}
    for _task in range(SLOW_CALLS + 1):
        ended[_wait_for_one()] = time.monotonic() - began
    return ended["note"]


def _wait_for_one() -> str:
    found = _connect().blpop([ENDED], timeout=300)
    assert isinstance(found, tuple), "the worker does not work"
    return found[1].decode() if isinstance(found[1], bytes) else found[1]


@contextmanager
def _start_worker(pool: str) -> Iterator[int]:
    name, _colon, concurrency = pool.partition(":")
    options = ["--pool", name, "--concurrency", concurrency, "--without-gossip", "--without-mingle"]
    command = ["--quiet", "--app", "benchmarks.periodic_tasks:app", "worker", "--loglevel", "ERROR"]
    with subprocess.Popen(
        [sys.executable, "-m", "celery", *command, *options], env=dict(os.environ), stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield process.pid
        finally:
            process.terminate()
