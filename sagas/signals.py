"""Signals: what an outside event, such as a channel's webhook, tells a saga that waits for it, or will.

Delivered inside the caller's transaction, so that a signal is there if and only if the event is. Whether the saga waits
already makes no difference: what comes early is kept until it is needed.
"""

import enum
import json
import uuid

from django.db import connection, transaction

from sagas import wakeups
from sagas.outcomes import Json


class UnknownSaga(Exception):
    """Nothing was stored: there is no such saga, or no more."""


class Delivery(enum.StrEnum):
    """What became of a signal. In each case it is stored, once."""

    WOKE = "woke"  # the saga was waiting for it
    KEPT = "kept"  # the saga may come to need it
    LATE = "late"  # the saga is over
    REPEATED = "repeated"  # delivered before, under the same id: nothing happened


# Counting on the saga's row makes the worker that is about to let the saga wait see that there is news: whichever of
# the two comes second finds what the first has committed.
_DELIVER = """
WITH stored AS (
    INSERT INTO saga_signals (saga_id, signal_id, name, payload)
    SELECT id, %(signal_id)s, %(name)s, %(payload)s::jsonb FROM saga_instances WHERE id = %(saga_id)s
    ON CONFLICT (saga_id, signal_id) DO NOTHING
    RETURNING id
), saga AS (
    UPDATE saga_instances AS i SET
        signals_received = signals_received + 1, revision = revision + 1, updated_at = now(),
        lease_expires_at = CASE WHEN waiting_for = %(name)s AND NOT needs_attention
                                THEN coalesce(lease_expires_at, now()) ELSE lease_expires_at END
    FROM stored WHERE i.id = %(saga_id)s
    RETURNING i.id, i.fence, i.task_queue,
              CASE WHEN status NOT IN ('pending', 'in_progress') THEN 'late'
                   WHEN waiting_for = %(name)s AND NOT needs_attention THEN 'woke' ELSE 'kept' END AS delivery
), event AS (
    INSERT INTO saga_events (saga_id, kind, step_name, direction, outcome, detail, fence, worker, actor, reason)
    SELECT id, 'signal', '', '', delivery, %(detail)s::jsonb, fence, '', '', '' FROM saga
)
SELECT delivery, task_queue FROM saga
"""
_IS_KNOWN = "SELECT EXISTS (SELECT 1 FROM saga_instances WHERE id = %s)"


def deliver(*, saga_id: uuid.UUID, name: str, signal_id: str, payload: Json | None = None) -> Delivery:
    """Tells a saga, once per `signal_id`, and wakes it when it waits for a signal of that name. Locks the saga's row,
    so business rows are locked before. Raises `UnknownSaga`."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _DELIVER,
            {
                "saga_id": saga_id,
                "signal_id": signal_id,
                "name": name,
                "payload": json.dumps(payload or {}, ensure_ascii=False),
                "detail": json.dumps({"signal": name, "signal_id": signal_id}, ensure_ascii=False),
            },
        )
        row = cursor.fetchone()
        if row is None:
            cursor.execute(_IS_KNOWN, [saga_id])
            if not cursor.fetchone()[0]:
                raise UnknownSaga(saga_id)
            return Delivery.REPEATED
        delivery = Delivery(row[0])
        if delivery is Delivery.WOKE:
            wakeups.send_after_commit(row[1])
    return delivery
