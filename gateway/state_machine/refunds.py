"""The state machine of refunds, up to their first outcome. A refund reserves its amount on the payment, or on the
attempt whose duplicate payment it gives back."""

import json
from dataclasses import dataclass
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

# Both lock the payment before its refund, as everywhere, and return the refund, the payment and the fee basis.
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
SELECT moved.*, payment.*, NULL FROM moved, payment
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
        refund_pending_minor = payments.refund_pending_minor - own.amount_minor,
        refunded_minor = payments.refunded_minor + own.amount_minor, updated_at = statement_timestamp()
    FROM (SELECT payment_id, CASE WHEN duplicate_attempt_id IS NULL THEN amount_minor ELSE 0 END AS amount_minor
          FROM moved) AS own
    WHERE payments.id = own.payment_id
    RETURNING {_PAYMENT.columns}
)
SELECT moved.*, refunded.*, {FEE_BASIS.format(payment="refunded")} FROM moved, refunded
"""  # noqa: S608
_RESERVE = """
UPDATE payments SET refund_pending_minor = refund_pending_minor + %s, updated_at = statement_timestamp() WHERE id = %s
"""


def record_channel_refund(*, refund: Refund) -> None:
    """Records a refund that was made at the channel and reserves its amount. The caller holds the payment's lock and
    has checked that the amount fits."""
    refund.save(force_insert=True)
    _reserve_amount(refund)


def record_new_refund(*, refund: Refund) -> None:
    """Records a refund that is about to be made and reserves its amount. The caller holds the payment's lock and has
    checked that the amount fits. What the database fills in is not read back."""
    insert_together(refund)
    _reserve_amount(refund)


def _reserve_amount(refund: Refund) -> None:
    """Reserves the amount in the ledger, and on the attempt whose duplicate payment the refund gives back, or on the
    payment."""
    post_requested_refund(refund)
    if refund.duplicate_attempt_id is not None:
        PaymentAttempt.objects.filter(id=refund.duplicate_attempt_id).update(
            duplicate_pending_minor=F("duplicate_pending_minor") + refund.amount_minor
        )
        return
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, [refund.amount_minor, refund.payment_id])


def mark_refund_processing(*, refund: Refund, channel_refund_no: str) -> bool:
    """The channel has accepted the refund and will report its outcome later."""
    return bool(_move(_MARK_PROCESSING, refund, channel_refund_no))


def mark_refund_succeeded(*, refund: Refund, channel_refund_no: str) -> bool:
    """Turns the reserved amount into refunded money."""
    moved = _move(_MARK_SUCCEEDED, refund, channel_refund_no)
    if moved:
        post_succeeded_refund(refund, fee_basis=moved.fee_basis)
        emit_refund_event("refund.succeeded", refund)
    return moved is not None


@dataclass(frozen=True, slots=True)
class _MovedRefund:
    """`fee_basis` has the inputs of the payment's platform fee, when it is needed and exists."""

    fee_basis: dict[str, Any] | None


def _move(statement: str, refund: Refund, channel_refund_no: str) -> _MovedRefund | None:
    """Locks the payment and moves the refund in one statement. A refund that moves gets its new values, and its
    payment's, which need not have been read before."""
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
    *columns, fee_basis = row
    _REFUND.refresh(refund, columns[: _REFUND.width])
    refund.payment = _PAYMENT.build(columns[_REFUND.width :])
    return _MovedRefund(None if fee_basis is None else json.loads(fee_basis))


def schedule_refund_query(*, refund: Refund) -> bool:
    """Makes the poller query an open refund now, and then as often as a new one."""
    scheduled = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        next_check_at=Now(), check_count=0, updated_at=Now()
    )
    return bool(scheduled)
