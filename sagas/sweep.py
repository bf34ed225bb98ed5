"""Celery beat's sweep: retries, compensations and recovery go on while no `run_sagas` worker runs (ADR 22)."""

import time
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.conf import settings
from django.db import connection, connections

from sagas import engine
from sagas.state import SagaState

# A sweep claims for so long at most, so that sweeps of a backlog leave room to other periodic tasks. What it has
# claimed by then it still continues: at most one call more.
SWEEP_SECONDS = 5.0
SWEEP_THREADS = 4
# A `run_sagas` worker looks every SAGA_SWEEP_SECONDS: what has been due for so many times that is taken by none.
MISSED_LOOKS = 5


def sweep() -> int:
    """Continues the sagas of every task queue that have been due for a while and that no `run_sagas` worker has taken.

    Answers how many. Any number of sweeps may run, also beside workers: a saga is claimed by one of them only.
    """
    ends_at = time.monotonic() + SWEEP_SECONDS
    with ThreadPoolExecutor(SWEEP_THREADS, thread_name_prefix="sweep") as pool:
        return sum(_sweep_queue(queue, pool, ends_at) for queue in settings.SAGA_TASK_QUEUES)


def _sweep_queue(task_queue: str, pool: ThreadPoolExecutor, ends_at: float) -> int:
    continued, after = 0, ""
    while time.monotonic() < ends_at:
        batch = engine.claim_due_sagas(
            task_queue=task_queue,
            places=SWEEP_THREADS,
            held={},
            suspects=1,
            after=after,
            overdue_seconds=MISSED_LOOKS * settings.SAGA_SWEEP_SECONDS,
        )
        connection.close()  # none is held during calls
        for future in [pool.submit(_resume, saga) for saga in batch.sagas]:
            future.result()  # an error ends the sweep; what it leaves is due again when its lease expires
        continued += len(batch.sagas)
        after = batch.last_key
        if not batch.sagas and not after:
            break
    return continued


def _resume(saga: SagaState) -> None:
    structlog.contextvars.clear_contextvars()
    try:
        engine.resume_claimed_saga(saga, before_calls=connection.close)
    finally:
        connections.close_all()
