"""Celery's part: the sweep that finds due sagas, and the task that carries one on."""

import uuid

from celery import shared_task

from sagas import engine, store

MAX_BATCHES_PER_SWEEP = 10


@shared_task(name="sagas.sweep")
def sweep() -> int:
    """Finds due retries, expired leases and sagas that never began. Runs every SAGA_SWEEP_SECONDS."""
    dispatched = 0
    for _batch in range(MAX_BATCHES_PER_SWEEP):
        tickets = store.dispatch()
        for ticket in tickets:
            advance_saga.apply_async(args=(str(ticket.saga_id), ticket.fence))
        dispatched += len(tickets)
        if len(tickets) < store.SWEEP_BATCH:
            break
    return dispatched


@shared_task(name="sagas.advance")
def advance_saga(saga_id: str, ticket: int | None = None) -> None:
    """Harmless however late or often it arrives: a saga that is not due is not claimed."""
    engine.resume(uuid.UUID(saga_id), ticket=ticket)
