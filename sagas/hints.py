"""A hint tells a worker that a saga is due, so that it need not wait for the sweep. Losing one costs a sweep."""

import uuid

import structlog
from django.db import transaction
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)


def send(saga_id: uuid.UUID) -> None:
    """Sends the hint once the current transaction has committed."""
    transaction.on_commit(lambda: _send_now(saga_id))


def _send_now(saga_id: uuid.UUID) -> None:
    from sagas.tasks import advance_saga

    try:
        advance_saga.apply_async(args=(str(saga_id),))
    except OperationalError as error:
        log.warning("saga.hint_lost", saga_id=str(saga_id), error=str(error))
