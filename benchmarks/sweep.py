"""The cost of a claim with a long history: with and without finished sagas, in the same run."""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from monitoring import pruning
from monitoring.partitions import find_saga_limit
from sagas import registry, store
from sagas.definitions import LOCAL, Definition, Step

BENCHMARK = Benchmark(
    "sweep",
    "A claim of due sagas by a worker, without and beside a long history, and a batch of pruning.",
    "Partial indexes that hold only unfinished sagas; the claim reads and writes the rows that it takes.",
)

STEPS_PER_SAGA = 3
CLAIM, CLAIM_OF_NONE = f"claim of {settings.SAGA_WORKER_THREADS // 2} due sagas", "claim when nothing is due"
CHUNK = 100_000  # sagas in one INSERT
NAME = "benchmark.sweep"

# Ids as `uuid7` makes them: in the order of time.
_ID = "(lpad(to_hex((extract(epoch FROM {at}) * 1000)::bigint), 12, '0') || '7' || substr(md5({salt}), 1, 19))::uuid"
_SAGAS = f"""
INSERT INTO saga_instances (id, business_id, business_type, definition, definition_version, status, direction,
    past_pivot, current_step, error_code, error_message, metadata, lease_owner, lease_expires_at, fence, revision,
    claims_without_progress, deadline_at, needs_attention, attention_reason, trace_context, created_at, updated_at,
    completed_at)
SELECT {_ID.format(at="at", salt="'saga' || n")}, '%(kind)s-' || n, 'benchmark', '{NAME}', 1, '%(status)s', 'forward',
       false, %(done)s, '', '', '{{"order_no": "ORDER-1", "amount": 10000, "currency": "USD"}}', '', %(lease)s,
       2, 3, 0, now() + interval '1 day', false, '', '{{}}', at, at, %(completed)s
FROM (SELECT n, now() - interval '60 days' * (1 - n / %(total)s::float8) AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS numbers
"""
_STEPS = f"""
INSERT INTO saga_steps (id, saga_id, step_order, step_name, status, in_doubt, compensating, result, error_message,
    executed_at, retry_count, max_retry_count, next_retry_at, created_at, updated_at)
SELECT {_ID.format(at="i.created_at", salt="i.id::text || n")}, i.id, n, 'step' || n,
       CASE WHEN n <= i.current_step THEN 'completed' WHEN %(retry)s IS NOT NULL AND n = i.current_step + 1
            THEN 'failed' ELSE 'pending' END,
       false, false, CASE WHEN n <= i.current_step THEN '{{"channel_trade_no": "sim_pay_1"}}'::jsonb END, '',
       i.created_at, 0, 3, CASE WHEN n = i.current_step + 1 THEN %(retry)s - random() * interval '1 second' END,
       i.created_at, i.created_at
FROM saga_instances i, generate_series(1, {STEPS_PER_SAGA}) AS n
WHERE i.business_id IN (SELECT '%(kind)s-' || n FROM generate_series(%(first)s, %(last)s) AS n)
"""
_RETRIES = """
UPDATE saga_instances SET retry_at = at
FROM (SELECT saga_id, min(next_retry_at) AS at FROM saga_steps WHERE next_retry_at IS NOT NULL GROUP BY 1) AS earliest
WHERE saga_instances.id = saga_id AND retry_at IS DISTINCT FROM at
"""
_EVENTS = """
INSERT INTO saga_events (saga_id, kind, step_name, direction, outcome, detail, fence, worker, actor, reason, created_at)
SELECT saga_id, 'attempt', step_name, 'forward', 'success', '{}', 2, 'benchmark', '', '', created_at
FROM saga_steps WHERE saga_id IN (SELECT id FROM saga_instances WHERE business_id IN (
    SELECT 'done-' || n FROM generate_series(%(first)s, %(last)s) AS n))
"""

Figures = dict[str, list[float]]


def measure(effort: Effort) -> list[Figure]:
    steps, due = effort.choose(200_000, 3000), effort.choose(2000, 60)
    noop = Step("step1", lambda _context: None, kind=LOCAL)
    more = (Step(f"step{n}", lambda _context: None, kind=LOCAL) for n in (2, 3))
    registry.register(Definition(NAME, 1, "benchmark", 3600, (noop, *more)))
    _execute("SET statement_timeout = 0")
    without = _measure(effort.rounds, due)
    _history(steps // STEPS_PER_SAGA)
    beside = _measure(effort.rounds, due)
    figures = []
    for what in without:
        base = median_figure(f"{what}, no history", without[what], "ms")
        name = f"{what}, beside {steps:,} finished steps"
        figures += [base, median_figure(name, beside[what], "ms", base=base, aim="about 1")]
    return [*figures, median_figure("pruning of 500 sagas", _prune(), "ms")]


def _history(sagas: int) -> None:
    for first in range(1, sagas + 1, CHUNK):
        last = min(first + CHUNK - 1, sagas)
        _insert("done", first, last, total=sagas, status="completed", done=STEPS_PER_SAGA, completed="at")
        _execute(_EVENTS % {"first": first, "last": last})
    _execute("VACUUM ANALYZE saga_instances, saga_steps, saga_events")


def _due(count: int) -> None:
    """Half wait for a retry that is due, half were left by a worker that died."""
    _execute(f"DELETE FROM saga_steps WHERE saga_id IN (SELECT id FROM saga_instances {_LIVE})")
    _execute(f"DELETE FROM saga_instances {_LIVE}")
    half = count // 2
    past = "now() - interval '1 second'"
    _insert("live-retry", 1, half, total=half, status="in_progress", done=1, retry=past)
    _insert("live-lease", 1, half, total=half, status="in_progress", done=1, lease=past)
    # As autovacuum would sooner or later: the planner decides on what it knows.
    _execute("ANALYZE saga_instances, saga_steps")


_LIVE = "WHERE business_id LIKE 'live-%%' AND status = 'in_progress'"


def _insert(kind: str, first: int, last: int, **values: Any) -> None:
    values = {"lease": "NULL::timestamptz", "retry": "NULL::timestamptz", "completed": "NULL", **values}
    values.update(kind=kind, first=first, last=last)
    with transaction.atomic():
        _execute("SET LOCAL session_replication_role = replica")  # no foreign key checks: it is a benchmark
        _execute(_SAGAS % values)
        _execute(_STEPS % values)
        _execute(_RETRIES)  # no trigger runs in here


def _measure(rounds: int, due: int) -> Figures:
    """Milliseconds of each call until nothing is due; the first round warms up and does not count."""
    figures: Figures = {}
    for number in range(rounds + 1):
        figures = {} if number == 1 else figures
        _due(due)
        while _timed(figures, CLAIM, _claim).sagas:
            pass
        figures[CLAIM_OF_NONE] = [*figures.get(CLAIM_OF_NONE, []), figures[CLAIM].pop()]
    return figures


def _claim() -> store.ClaimedSagas:
    """Half of a worker's places: what one key gets."""
    return store.claim_due_sagas(task_queue="default", places=settings.SAGA_WORKER_THREADS)


def _timed(figures: Figures, what: str, call: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = call()
    figures.setdefault(what, []).append((time.perf_counter() - began) * 1000)
    return result


def _prune() -> list[float]:
    """History is 60 days long, 30 are kept: the batches delete. Milliseconds of each."""
    figures: Figures = {}
    for _batch in range(10):
        _timed(figures, "prune", lambda: pruning._prune_sagas(find_saga_limit()))
    return figures["prune"]


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.replace("%%", "%"))
