"""Celery's sweep: advances due sagas while no `run_sagas` worker runs (ADR 22)."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import structlog
from django.conf import settings
from django.db import connections

from common.external_calls import release_connections
from sagas import engine
from sagas.state import SagaState

# A sweep claims for at most so long, so that a backlog leaves room for other periodic tasks. It still advances the
# sagas that it has claimed by then: at most one call more for each.
SWEEP_SECONDS = 5.0
SWEEP_THREADS = 8
# A `run_sagas` worker polls every SAGA_SWEEP_SECONDS. A saga that was due for so many polls is not claimed by any.
MISSED_POLLS = 5

# One sweep at a time in a process, so that sweeps of a backlog take one of a worker's threads and never all.
_sweeping = threading.Lock()


def sweep_unless_sweeping() -> int:
    """Sweeps, unless this process does so already. Returns the number of sagas."""
    if not _sweeping.acquire(blocking=False):
        return 0
    try:
        return sweep_due_sagas()
    finally:
        _sweeping.release()


def sweep_due_sagas() -> int:
    """Advances the sagas of every task queue that have been due for a while and that no worker has claimed.

    Returns their number. Sweeps may run beside each other and beside workers: each saga is claimed by one of them.
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
            possibly_poison=1,
            after=after,
            overdue_seconds=MISSED_POLLS * settings.SAGA_SWEEP_SECONDS,
        )
        release_connections()  # this thread only waits for the calls of the others
        for future in [pool.submit(_resume, saga) for saga in batch.sagas]:
            future.result()  # an error ends the sweep; the other sagas are due again when their lease expires
        continued += len(batch.sagas)
        after = batch.last_key
        if not batch.sagas and not after:
            break
    return continued


def _resume(saga: SagaState) -> None:
    structlog.contextvars.clear_contextvars()
    try:
        engine.resume_claimed_saga(saga)
    finally:
        connections.close_all()
