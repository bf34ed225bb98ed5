"""The rate at which a backlog is worked off, compared with the normal rate: 1,000, 10,000 and 100,000 waiting sagas.

Sagas of three EXTERNAL steps that do nothing, of 20 merchants, for one worker with the places of production. Normal:
never more than 100 wait. A backlog is loaded at once, as after an outage, and its rate is that of the first seconds.
Each backlog is measured between two normal times of the same length, because the machine may be busy; the aim is a
ratio of at least 0.8. Also measures how many wake-up hints lie in Redis at most.
"""

import subprocess
import sys
import time

from django.conf import settings
from django.db import connection, transaction
from django_redis import get_redis_connection

from benchmarks import noop
from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from sagas import wakeups
from sagas.models import DEFAULT_TASK_QUEUE
from tests.support.waiting import wait_until

BENCHMARK = Benchmark(
    "backlog",
    "The rate at which a worker finishes a backlog of sagas, beside its rate when few sagas wait.",
    "Four commits for each saga, and the claim, whose cost must not grow with the backlog.",
)

MERCHANTS = 20
START_SECONDS = 120.0
NORMAL = 100
_SAGAS = """
INSERT INTO saga_instances (id, business_id, business_type, definition, definition_version, status, direction,
    past_pivot, current_step, error_code, error_message, metadata, lease_owner, lease_expires_at, fence, revision,
    claims_without_progress, deadline_at, needs_attention, attention_reason, trace_context, fairness_key)
SELECT gen_random_uuid(), gen_random_uuid()::text, 'benchmark', %(name)s, 1, 'pending', 'forward', false, 0, '', '',
       '{}', '', now(), 1, 1, 0, now() + interval '1 hour', false, '', '{}', 'merchant-' || n %% %(merchants)s
FROM generate_series(1, %(count)s) AS n
RETURNING id
"""
_STEPS = """
WITH sagas AS ({sagas})
INSERT INTO saga_steps (id, saga_id, step_order, step_name, status, in_doubt, compensating, error_message, retry_count,
    max_retry_count)
SELECT gen_random_uuid(), sagas.id, n, 'step' || n, 'pending', false, false, '', 0, 3
FROM sagas, generate_series(1, 3) AS n
"""
_DONE = "SELECT count(*) FROM saga_instances WHERE status = 'completed'"
_WAITING = "SELECT count(*) FROM (SELECT 1 FROM saga_instances WHERE due_at <= now() LIMIT 1000) AS bounded"


def measure(effort: Effort) -> list[Figure]:
    sizes = (1000, 10_000, 100_000) if not effort.quick else (200,)
    seconds = float(effort.choose(20, 2))
    _execute("SET statement_timeout = 0")
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", str(settings.SAGA_WORKER_THREADS)],
    )
    figures = []
    try:
        _load(1)
        wait_until(lambda: _count(_DONE) > 0, START_SECONDS, "the worker to start")
        _normal(float(effort.choose(5, 1)))  # warms up
        for size in sizes:
            normal, rates, most = [], [], 0
            for _round in range(effort.rounds):
                before = _normal(seconds / 2)
                rate, hints = _backlog(size, seconds)
                normal.append((before + _normal(seconds / 2)) / 2)
                rates.append(rate)
                most = max(most, hints)
            base = median_figure(f"normal rate around {size:,} waiting sagas", normal, "/s")
            name = f"rate with {size:,} waiting sagas"
            figures += [
                base,
                median_figure(name, rates, "/s", base=base, aim="at least 0.80"),
                Figure(
                    name=f"most wake-up hints in Redis with {size:,} waiting sagas", value=most, unit="hints"
                ),
            ]
    finally:
        worker.terminate()
        worker.wait()
    return figures


def _normal(seconds: float) -> float:
    done, began = _count(_DONE), time.monotonic()
    while time.monotonic() - began < seconds:
        if _count(_WAITING) < NORMAL // 2:
            _load(NORMAL // 2)
            wakeups.send_wakeup_now(DEFAULT_TASK_QUEUE)
        time.sleep(0.02)
    return (_count(_DONE) - done) / (time.monotonic() - began)


def _backlog(size: int, seconds: float) -> tuple[float, int]:
    """The rate, and how many wake-up hints lay in Redis at most. What is left of the backlog is deleted."""
    client = get_redis_connection("default")
    _load(size)
    _execute("ANALYZE saga_instances, saga_steps")
    done, began, most = _count(_DONE), time.monotonic(), 0
    while time.monotonic() - began < seconds and _count(_WAITING):
        wakeups.send_wakeup_now(DEFAULT_TASK_QUEUE)
        most = max(most, client.llen(wakeups.redis_key(DEFAULT_TASK_QUEUE)))
        time.sleep(0.1)
    rate = (_count(_DONE) - done) / (time.monotonic() - began)
    with transaction.atomic():
        _execute("SET LOCAL session_replication_role = replica")
        _execute(
            "WITH gone AS (DELETE FROM saga_instances WHERE due_at <= now() RETURNING id)"
            " DELETE FROM saga_steps WHERE saga_id IN (SELECT id FROM gone)"
        )
    return rate, most


def _load(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _STEPS.format(sagas=_SAGAS), {"name": noop.NAME, "merchants": MERCHANTS, "count": count}
        )


def _count(sql: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.fetchone()[0])


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
