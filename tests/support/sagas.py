"""Runs due sagas as workers do, in this process and without waiting."""

from django.conf import settings

from sagas import engine, store
from sagas.state import SagaState

MAX_ROUNDS = 50


def claim_all() -> list[SagaState]:
    """Claims all due sagas of every queue, as if there were enough workers."""
    claimed: list[SagaState] = []
    for queue in settings.SAGA_TASK_QUEUES:
        while batch := store.claim_due_sagas(task_queue=queue, places=100, possibly_poison=100).sagas:
            claimed += batch
    return claimed


def run_due() -> None:
    """Runs due sagas until none is due."""
    for _round in range(MAX_ROUNDS):
        if not run_once():
            return
    raise AssertionError("sagas are still due")


def run_once() -> int:
    """Runs the sagas that are due now, and returns their number."""
    claimed = claim_all()
    for saga in claimed:
        engine.resume_claimed_saga(saga)
    return len(claimed)
