"""The state machine of payments: where the customer pays, the statuses without money, and when to query and expire.

`captured_money.py` has the transitions that move money.
"""

import json
import uuid
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from channels.base import ActionType, PaymentCard
from common.model_rows import ModelRow
from common.transitions import sources_of
from gateway.checkout_token import build_checkout_url
from gateway.models import (
    OPEN_PAYMENT_STATUSES,
    AttemptStatus,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    build_attempt_reference,
)
from gateway.polling_intervals import FIRST_POLL_SECONDS
from gateway.state_machine.attempts import close_current_attempt
from gateway.state_machine.events import emit_payment_event
from gateway.state_machine.transitions import PAYMENT_TRANSITIONS
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


def mark_payment_processing(*, payment: Payment) -> bool:
    """The customer has submitted the payment; the channel has not decided."""
    return _move(payment, PaymentStatus.PROCESSING)


def mark_payment_authorized(*, payment: Payment) -> bool:
    moved = _move(payment, PaymentStatus.AUTHORIZED)
    if moved:
        emit_payment_event("payment.authorized", payment)
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


def _move(payment: Payment, target: PaymentStatus, **changes: Any) -> bool:
    moved = Payment.objects.filter(id=payment.id, status__in=sources_of(PAYMENT_TRANSITIONS, target)).update(
        status=target, updated_at=Now(), **changes
    )
    if moved:
        payment.refresh_from_db()
    return bool(moved)


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
