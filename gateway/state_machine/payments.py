"""The state machine of payments."""

import json
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Coalesce, Now

from channels.base import ActionType, PaymentCard
from common.model_rows import ModelRow
from common.transitions import quote_statuses, sources_of
from events.outbox import build_event_row
from fees.charging import FEE_SOURCE
from gateway.checkout_token import build_checkout_url
from gateway.metrics import count_payment_event
from gateway.models import (
    CLOSED_UNPAID_STATUSES,
    OPEN_ATTEMPT_STATUSES,
    OPEN_PAYMENT_STATUSES,
    AttemptStatus,
    CaptureMethod,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    build_attempt_reference,
)
from gateway.polling_intervals import FIRST_POLL_SECONDS
from gateway.state_machine.attempts import close_current_attempt
from gateway.state_machine.captures import settle_captures
from gateway.state_machine.events import build_payment_event, emit_capture, emit_payment_event
from gateway.state_machine.ledger_postings import post_captured_money
from gateway.state_machine.suspense import settle_suspense
from gateway.state_machine.transitions import PAYMENT_TRANSITIONS
from ledger.models import TransferEvent
from orders import services as orders

# The wait after a refused cancellation of an expired payment; it doubles each time.
EXPIRY_PAUSE_SECONDS = 10 * 60

_PAYMENT = ModelRow(Payment)
_ACTIVATE = f"""
WITH attempt AS (
    UPDATE payment_attempts SET status = 'open', channel_trade_no = %(channel_trade_no)s::text, finished_at = now()
    WHERE payment_id = %(id)s AND status IN ('calling', 'open')
)
UPDATE payments SET
    channel_trade_no = %(channel_trade_no)s::text, payment_url = %(payment_url)s,
    next_action = %(next_action)s::jsonb, updated_at = now(),
    next_check_at = CASE WHEN status IN ('pending', 'processing', 'authorized')
                         THEN now() + make_interval(secs => %(first_poll_seconds)s::float8) END
WHERE id = %(id)s
RETURNING {_PAYMENT.columns}
"""  # noqa: S608
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


def activate_payment(
    *, payment_id: uuid.UUID, channel_trade_no: str, next_action: dict[str, Any] | None
) -> Payment:
    """Records the channel's payment, for which the customer has to act; a webhook may have closed it already. Returns
    the payment as it then is.

    The payment's URL is the channel's page, or our payment page for an action that is not a redirect.

    One statement for payment and attempt, because every payment runs it.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _ACTIVATE,
            {
                "id": payment_id,
                "channel_trade_no": channel_trade_no,
                "payment_url": _choose_payment_url(payment_id, next_action),
                "next_action": json.dumps(next_action) if next_action else None,
                "first_poll_seconds": FIRST_POLL_SECONDS,
            },
        )
        row = cursor.fetchone()
    assert row is not None, "payments are never deleted"
    return _PAYMENT.build(row)


def _choose_payment_url(payment_id: uuid.UUID, next_action: dict[str, Any] | None) -> str:
    if next_action is None:
        return ""
    if next_action["type"] == ActionType.REDIRECT:
        return str(next_action["url"])
    return build_checkout_url(payment_id)


def reopen_payment(
    *,
    payment: Payment,
    number: int,
    opened_by: uuid.UUID,
    expires_in_seconds: int,
    channel: str,
    channel_account_id: uuid.UUID | None,
    sandbox: bool,
    application_fee_minor: int,
    **changes: Any,
) -> bool:
    """Makes a payment that ended without money pending again, as attempt `number`. Only the merchant's request does
    this, never a channel update. The caller holds the payment's lock."""
    reference = build_attempt_reference(payment.payment_no, number)
    moved = _move(
        payment,
        PaymentStatus.PENDING,
        channel=channel,
        channel_account_id=channel_account_id,
        sandbox=sandbox,
        channel_reference=reference,
        channel_trade_no="",
        card_brand="",
        card_last_four="",
        card_wallet="",
        payment_url="",
        next_action=None,
        authorization_increment_minor=0,
        failure_code="",
        failure_message="",
        closed_at=None,
        next_check_at=None,
        check_count=0,
        expiry_attempts=0,
        next_expiry_at=None,
        expires_at=Now() + timedelta(seconds=expires_in_seconds),
        **changes,
    )
    if moved:
        PaymentAttempt.objects.create(
            payment=payment,
            number=number,
            reference=reference,
            channel=channel,
            channel_account_id=channel_account_id,
            sandbox=sandbox,
            application_fee_minor=application_fee_minor,
            opened_by=opened_by,
        )
        emit_payment_event("payment.retried", payment)
    return moved


def record_refused_card(*, payment: Payment, code: str, message: str) -> bool:
    """Records that the channel's page refused the customer's card. The customer may try another one: the payment stays
    open."""
    return bool(
        Payment.objects.filter(id=payment.id, status=PaymentStatus.PENDING)
        .exclude(failure_code=code, failure_message=message)
        .update(failure_code=code, failure_message=message, updated_at=Now())
    )


def record_card(*, payment: Payment, card: PaymentCard) -> bool:
    """Records which card paid the current attempt. False when it is known. The caller holds the payment's lock."""
    known = {"card_brand": card.brand, "card_last_four": card.last_four, "card_wallet": card.wallet}
    if all(getattr(payment, name) == value for name, value in known.items()):
        return False
    for name, value in known.items():
        setattr(payment, name, value)
    return bool(Payment.objects.filter(id=payment.id).update(**known, updated_at=Now()))


def mark_payment_processing(*, payment: Payment) -> bool:
    """The customer has submitted the payment; the channel has not decided."""
    return _move(payment, PaymentStatus.PROCESSING)


def mark_payment_authorized(*, payment: Payment) -> bool:
    moved = _move(payment, PaymentStatus.AUTHORIZED)
    if moved:
        emit_payment_event("payment.authorized", payment)
    return moved


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


def close_unpaid_payment(*, payment: Payment, status: PaymentStatus, code: str, message: str) -> bool:
    """Ends a payment without money, as failed, cancelled or expired, and cancels its order. Nothing may have been
    captured."""
    moved = payment.captured_minor == 0 and _move(
        payment,
        status,
        failure_code=code,
        failure_message=message,
        closed_at=Now(),
        next_check_at=None,
    )
    if moved:
        attempt_status = AttemptStatus.DECLINED if status == PaymentStatus.FAILED else AttemptStatus.CANCELLED
        close_current_attempt(
            payment.id,
            attempt_status,
            channel_trade_no=payment.channel_trade_no,
            failure_code=code,
            failure_message=message,
        )
        orders.mark_order_cancelled(order_id=payment.order_id)
        emit_payment_event(f"payment.{status}", payment)
    return moved


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


def schedule_payment_query(*, payment: Payment) -> bool:
    """Makes the poller query an open payment now, and then as often as a new one."""
    scheduled = Payment.objects.filter(id=payment.id, status__in=OPEN_PAYMENT_STATUSES).update(
        next_check_at=Now(), check_count=0, updated_at=Now()
    )
    return bool(scheduled)


def record_expiry_attempt(*, payment: Payment) -> None:
    """Counts one more cancellation of an expired payment, and sets when the next one may begin should the channel
    refuse this one. The caller holds the payment's lock."""
    pause = timedelta(seconds=EXPIRY_PAUSE_SECONDS * 2**payment.expiry_attempts)
    Payment.objects.filter(id=payment.id).update(
        expiry_attempts=F("expiry_attempts") + 1, next_expiry_at=Now() + pause, updated_at=Now()
    )


def reset_expiry_attempts(*, payment: Payment) -> None:
    """Lets an expired payment be cancelled again, after a person has resolved why the channel refused."""
    Payment.objects.filter(id=payment.id).update(expiry_attempts=0, next_expiry_at=None, updated_at=Now())


def _refresh_payment(payment: Payment, row: Sequence[Any]) -> dict[str, Any] | None:
    """Gives the payment these values. Returns the last one, the source of its fee."""
    *values, fee_source = row
    _PAYMENT.refresh(payment, values)
    return None if fee_source is None else json.loads(fee_source)


def _move(payment: Payment, target: PaymentStatus, **changes: Any) -> bool:
    moved = Payment.objects.filter(id=payment.id, status__in=sources_of(PAYMENT_TRANSITIONS, target)).update(
        status=target, updated_at=Now(), **changes
    )
    if moved:
        payment.refresh_from_db()
    return bool(moved)
