"""Captured money: the transitions of a payment that move money. They post it to the ledger and settle suspense."""

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models.functions import Coalesce, Now

from channels.base import PaymentCard
from common.model_rows import ModelRow
from common.transitions import quote_statuses, sources_of
from events.outbox import build_event_row
from fees.charging import FEE_SOURCE
from gateway.metrics import count_payment_event
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_ATTEMPT_STATUSES,
    CaptureMethod,
    Payment,
    PaymentStatus,
)
from gateway.state_machine.captures import settle_captures
from gateway.state_machine.events import build_payment_event, emit_capture, emit_payment_event
from gateway.state_machine.ledger_postings import post_captured_money
from gateway.state_machine.suspense import settle_suspense
from gateway.state_machine.transitions import PAYMENT_TRANSITIONS
from ledger.models import TransferEvent
from orders import services as orders

_PAYMENT = ModelRow(Payment)
_SUCCEED = f"""
WITH payment AS (
    UPDATE payments SET
        status = 'succeeded', captured_minor = %(captured_minor)s::bigint,
        paid_at = coalesce(paid_at, statement_timestamp()), closed_at = statement_timestamp(), next_check_at = NULL,
        failure_code = '', failure_message = '', updated_at = statement_timestamp(),
        card_brand = coalesce(%(card_brand)s::text, card_brand),
        card_last_four = coalesce(%(card_last_four)s::text, card_last_four),
        card_wallet = coalesce(%(card_wallet)s::text, card_wallet)
    WHERE id = %(id)s AND status IN ({quote_statuses(sources_of(PAYMENT_TRANSITIONS, PaymentStatus.SUCCEEDED))})
    RETURNING {_PAYMENT.columns}
), attempt AS (
    UPDATE payment_attempts SET
        status = 'succeeded', finished_at = statement_timestamp(), channel_trade_no = payment.channel_trade_no
    FROM payment WHERE payment_attempts.payment_id = payment.id
        AND payment_attempts.status IN ({quote_statuses(OPEN_ATTEMPT_STATUSES)})
), paid_order AS (
    {orders.MARK_ORDER_PAID.format(order_id="(SELECT order_id FROM payment)")}
)
SELECT *, {FEE_SOURCE.format(payment="payment")} FROM payment
"""  # noqa: S608
# Reads a payment with the terms of its fee.
_READ = f"""
SELECT {_PAYMENT.columns}, {FEE_SOURCE.format(payment="payments")} FROM payments WHERE id = %(id)s
"""  # noqa: S608


def mark_payment_succeeded(*, payment: Payment, captured_minor: int, card: PaymentCard | None = None) -> bool:
    """The money was captured, in all `captured_minor`: the order is paid. `card` is None where it is not reported.

    One statement for payment, attempt and order, because every payment runs it.
    """
    was_captured_apart = payment.status == PaymentStatus.AUTHORIZED or (
        payment.capture_method == CaptureMethod.MANUAL
    )
    captured_before_minor = payment.captured_minor
    with connection.cursor() as cursor:
        cursor.execute(
            _SUCCEED,
            {
                "id": payment.id,
                "captured_minor": captured_minor,
                "captured_before_minor": captured_before_minor,
                "card_brand": card.brand if card else None,
                "card_last_four": card.last_four if card else None,
                "card_wallet": card.wallet if card else None,
            },
        )
        row = cursor.fetchone()
    if row is None:
        return False
    fee_source = _refresh_payment(payment, row)
    if was_captured_apart:
        settle_captures(payment=payment, is_final=True)
    if _can_have_suspense(payment):
        post_captured_money(
            payment=payment, captured_before_minor=captured_before_minor, fee_source=fee_source
        )
        settle_suspense(payment=payment)
        emit_payment_event("payment.succeeded", payment)  # last, because it shows what was settled
        return True
    post_captured_money(
        payment=payment,
        captured_before_minor=captured_before_minor,
        fee_source=fee_source,
        rows=[build_event_row(build_payment_event("payment.succeeded", payment))],
    )
    count_payment_event("payment.succeeded", payment)
    return True


def record_partial_capture(*, payment: Payment, captured_minor: int) -> bool:
    """Records that `captured_minor` was captured in all, while the channel holds the rest: the payment stays
    authorized. False when at least as much was recorded before."""
    captured_before_minor = payment.captured_minor
    recorded = Payment.objects.filter(
        id=payment.id, status=PaymentStatus.AUTHORIZED, captured_minor__lt=captured_minor
    ).update(captured_minor=captured_minor, paid_at=Coalesce("paid_at", Now()), updated_at=Now())
    if recorded:
        with connection.cursor() as cursor:
            cursor.execute(_READ, {"id": payment.id, "captured_before_minor": captured_before_minor})
            fee_source = _refresh_payment(payment, cursor.fetchone())
        post_captured_money(
            payment=payment, captured_before_minor=captured_before_minor, fee_source=fee_source
        )
        _settle_suspense_of_early_reports(payment)
        if (capture := settle_captures(payment=payment, is_final=False)) is not None:
            emit_capture(payment, capture)
    return bool(recorded)


def record_late_payment(*, payment: Payment, captured_minor: int) -> bool:
    """Records money that arrived for a closed payment, so that it can be refunded. The status stays.

    False when it was recorded before.
    """
    recorded = Payment.objects.filter(
        id=payment.id,
        captured_minor=0,
        status__in=CLOSED_UNPAID_STATUSES,
    ).update(captured_minor=captured_minor, paid_at=Now(), updated_at=Now())
    if recorded:
        payment.refresh_from_db()
        post_captured_money(payment=payment, captured_before_minor=0, event=TransferEvent.PAYMENT_LATE)
        _settle_suspense_of_early_reports(payment)
        emit_payment_event("payment.late_success", payment)
    return bool(recorded)


def _settle_suspense_of_early_reports(payment: Payment) -> None:
    if _can_have_suspense(payment):
        settle_suspense(payment=payment)


def _can_have_suspense(payment: Payment) -> bool:
    """A dispute may be reported before the payment is known to be captured. `suspense_minor` leaves out another
    currency, but a review is open as long as money is in suspense."""
    return bool(payment.suspense_minor) or payment.needs_attention


def _refresh_payment(payment: Payment, row: Sequence[Any]) -> dict[str, Any] | None:
    """Gives the payment these values. Returns the last one, the source of its fee."""
    *values, fee_source = row
    _PAYMENT.refresh(payment, values)
    return None if fee_source is None else json.loads(fee_source)
