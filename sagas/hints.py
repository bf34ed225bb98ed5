"""A hint tells a worker that a saga is due, so that it need not wait for the sweep. Losing one costs a sweep."""

import uuid

from django.db import transaction

from common.task_hints import send_hint


def send(saga_id: uuid.UUID) -> None:
    """Sends the hint once the current transaction has committed."""
    transaction.on_commit(lambda: _send_now(saga_id))


def _send_now(saga_id: uuid.UUID) -> None:
    from sagas.tasks import advance_saga

    send_hint(advance_saga, str(saga_id))
