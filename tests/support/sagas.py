"""Plays the saga workers by hand, in this process and without waiting."""

from django.conf import settings

from sagas import engine, store
from sagas.state import SagaState

MAX_ROUNDS = 50


def claim_all() -> list[SagaState]:
    """Claims whatever is due in any queue, as if there were workers enough."""
    claimed: list[SagaState] = []
    for queue in settings.SAGA_TASK_QUEUES:
        while batch := store.claim_due_sagas(task_queue=queue, places=100, suspects=100).sagas:
            claimed += batch
    return claimed


def run_due() -> None:
    """What workers do until nothing is due."""
    for _round in range(MAX_ROUNDS):
        if not run_once():
            return
    raise AssertionError("the sagas do not come to rest")


def run_once() -> int:
    """Continues what is due now, and answers how many sagas that were."""
    claimed = claim_all()
    for saga in claimed:
        engine.resume_claimed_saga(saga)
    return len(claimed)
