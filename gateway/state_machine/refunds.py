"""The state machine of refunds, up to their first outcome. A refund reserves its amount on the payment, or on the
attempt whose duplicate payment it gives back."""

import json
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from common.db import insert_together
from common.model_rows import ModelRow
from common.transitions import quote_statuses, sources_of
from fees.charging import FEE_BASIS
from gateway.models import (
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentAttempt,
    Refund,
    RefundStatus,
)
from gateway.polling_intervals import FIRST_POLL_SECONDS
from gateway.state_machine.events import emit_refund_event
from gateway.state_machine.ledger_postings import post_requested_refund, post_succeeded_refund
from gateway.state_machine.transitions import REFUND_TRANSITIONS

_PAYMENT, _REFUND = ModelRow(Payment), ModelRow(Refund)
_PROCESSING_FROM = quote_statuses(sources_of(REFUND_TRANSITIONS, RefundStatus.PROCESSING))
_SUCCEEDED_FROM = quote_statuses(OPEN_REFUND_STATUSES)

# Both lock the payment before its refund, as everywhere, and return the refund and the payment; the second also returns
# the fee basis: the inputs of the payment's platform fee, NULL when it is not needed or does not exist.
_MARK_PROCESSING = f"""
WITH payment AS MATERIALIZED (
    SELECT {_PAYMENT.columns} FROM payments WHERE id = %(payment_id)s FOR UPDATE
), moved AS (
    UPDATE refunds SET
        status = 'processing', channel_refund_no = %(channel_refund_no)s, updated_at = statement_timestamp(),
        next_check_at = statement_timestamp() + make_interval(secs => %(first_poll_seconds)s::float8)
    FROM payment
    WHERE refunds.id = %(id)s AND refunds.payment_id = payment.id AND refunds.status IN ({_PROCESSING_FROM})
    RETURNING {_REFUND.columns}
)
SELECT moved.*, payment.* FROM moved, payment
"""  # noqa: S608
_MARK_SUCCEEDED = f"""
WITH payment AS MATERIALIZED (
    SELECT {_PAYMENT.columns} FROM payments WHERE id = %(payment_id)s FOR UPDATE
), moved AS (
    UPDATE refunds SET
        status = 'succeeded', channel_refund_no = %(channel_refund_no)s, updated_at = statement_timestamp(),
        settled_at = statement_timestamp(), next_check_at = NULL
    FROM payment
    WHERE refunds.id = %(id)s AND refunds.payment_id = payment.id AND refunds.status IN ({_SUCCEEDED_FROM})
    RETURNING {_REFUND.columns}
), refunded_attempt AS (
    UPDATE payment_attempts SET
        duplicate_pending_minor = duplicate_pending_minor - moved.amount_minor,
        duplicate_refunded_minor = duplicate_refunded_minor + moved.amount_minor
    FROM moved WHERE payment_attempts.id = moved.duplicate_attempt_id
), refunded AS (
    UPDATE payments SET
        refund_pending_minor = payments.refund_pending_minor - part.amount_minor,
        refunded_minor = payments.refunded_minor + part.amount_minor, updated_at = statement_timestamp()
    FROM (SELECT payment_id, CASE WHEN duplicate_attempt_id IS NULL THEN amount_minor ELSE 0 END AS amount_minor
          FROM moved) AS part
    WHERE payments.id = part.payment_id
    RETURNING {_PAYMENT.columns}
)
SELECT moved.*, refunded.*, {FEE_BASIS.format(payment="refunded")} FROM moved, refunded
"""  # noqa: S608
_ADD_TO_PAYMENT = """
UPDATE payments SET
    refund_pending_minor = refund_pending_minor + %(pending_minor)s,
    refunded_minor = refunded_minor + %(refunded_minor)s,
    updated_at = statement_timestamp()
WHERE id = %(payment_id)s
"""


def record_channel_refund(*, refund: Refund) -> None:
    """Records a refund that was made at the channel and reserves its amount. The caller holds the payment's lock and
    has checked that the amount fits."""
    refund.save(force_insert=True)
    post_requested_refund(refund)
    add_to_totals(refund, pending_minor=refund.amount_minor)


def record_new_refund(*, refund: Refund) -> None:
    """Records a refund that is about to be made and reserves its amount. The caller holds the payment's lock and has
    checked that the amount fits. What the database fills in is not read back."""
    insert_together(refund)
    post_requested_refund(refund)
    add_to_totals(refund, pending_minor=refund.amount_minor)


def add_to_totals(refund: Refund, *, pending_minor: int = 0, refunded_minor: int = 0) -> None:
    """Changes the totals of pending and refunded money: those of the attempt whose duplicate payment the refund gives
    back, or else those of the payment."""
    if refund.duplicate_attempt_id is not None:
        PaymentAttempt.objects.filter(id=refund.duplicate_attempt_id).update(
            duplicate_pending_minor=F("duplicate_pending_minor") + pending_minor,
            duplicate_refunded_minor=F("duplicate_refunded_minor") + refunded_minor,
        )
        return
    values: dict[str, Any] = {
        "payment_id": refund.payment_id,
        "pending_minor": pending_minor,
        "refunded_minor": refunded_minor,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ADD_TO_PAYMENT, values)


def mark_refund_processing(*, refund: Refund, channel_refund_no: str) -> bool:
    """The channel has accepted the refund and will report its outcome later."""
    return _move(_MARK_PROCESSING, refund, channel_refund_no) is not None


def mark_refund_succeeded(*, refund: Refund, channel_refund_no: str) -> bool:
    """Turns the reserved amount into refunded money."""
    further_columns = _move(_MARK_SUCCEEDED, refund, channel_refund_no)
    if further_columns is None:
        return False
    (fee_basis,) = further_columns
    post_succeeded_refund(refund, fee_basis=None if fee_basis is None else json.loads(fee_basis))
    emit_refund_event("refund.succeeded", refund)
    return True


def _move(statement: str, refund: Refund, channel_refund_no: str) -> list[Any] | None:
    """Locks the payment and moves the refund in one statement. Gives the refund its new values and its payment, which
    need not have been read before. Returns the further columns of the statement; None when the refund does not move."""
    values: dict[str, Any] = {
        "id": refund.id,
        "payment_id": refund.payment_id,
        "channel_refund_no": channel_refund_no,
        "first_poll_seconds": FIRST_POLL_SECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    if row is None:
        return None
    of_payment, further = _REFUND.width, _REFUND.width + _PAYMENT.width
    _REFUND.refresh(refund, row[:of_payment])
    refund.payment = _PAYMENT.build(row[of_payment:further])
    return list(row[further:])


def schedule_refund_query(*, refund: Refund) -> bool:
    """Makes the poller query an open refund now, and then as often as a new one."""
    scheduled = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        next_check_at=Now(), check_count=0, updated_at=Now()
    )
    return bool(scheduled)
