"""Signals: messages from outside, such as a channel's webhook, for a saga that waits for them now or later.

A signal is delivered inside the caller's transaction, so it exists if and only if the caller's rows do. A signal that
comes before the saga waits for it is kept.
"""

import enum
import json
import uuid

from django.db import connection, transaction

from sagas import wakeups
from sagas.outcomes import Json


class UnknownSaga(Exception):
    """There is no such saga (any more). Nothing was stored."""


class SignalDelivery(enum.StrEnum):
    """The outcome of a delivery. The signal is stored in each case, once."""

    WOKE = "woke"  # the saga was waiting for it
    KEPT = "kept"  # the saga may wait for it later
    LATE = "late"  # the saga has ended
    REPEATED = "repeated"  # it was delivered before with the same id, and nothing happened


# The counter on the saga's row makes the worker that is about to let the saga wait notice the signal: whichever of the
# two transactions comes second sees the first.
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
_EXISTS = "SELECT EXISTS (SELECT 1 FROM saga_instances WHERE id = %s)"
_CONSUME = """
UPDATE saga_signals SET taken_at = now(), taken_by = %s
WHERE id = (SELECT id FROM saga_signals WHERE saga_id = %s AND name = %s AND taken_at IS NULL ORDER BY id LIMIT 1)
RETURNING payload
"""


def deliver_signal(
    *, saga_id: uuid.UUID, name: str, signal_id: str, payload: Json | None = None
) -> SignalDelivery:
    """Stores a signal, once for each `signal_id`, and wakes the saga when it waits for a signal of that name.

    Locks the saga's row, so lock business rows before. Raises `UnknownSaga`.
    """
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
            cursor.execute(_EXISTS, [saga_id])
            if not cursor.fetchone()[0]:
                raise UnknownSaga(saga_id)
            return SignalDelivery.REPEATED
        delivery = SignalDelivery(row[0])
        if delivery is SignalDelivery.WOKE:
            wakeups.send_wakeup_after_commit(row[1])
    return delivery


def consume_signal(*, saga_id: uuid.UUID, name: str, step_name: str) -> Json | None:
    """Marks the oldest unconsumed signal of that name as consumed by the step, and returns its payload.

    Runs in the engine's transaction: if that is rolled back, the signal stays unconsumed.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CONSUME, [step_name, saga_id, name])
        row = cursor.fetchone()
    if row is None:
        return None
    # Django registers a psycopg loader that leaves jsonb as text for its JSONField to decode.
    payload: Json = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    return payload
