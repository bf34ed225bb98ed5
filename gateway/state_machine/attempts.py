"""The state machine of attempts."""

import uuid

from django.db.models.functions import Now

from gateway.models import (
    OPEN_ATTEMPT_STATUSES,
    AttemptStatus,
    Payment,
    PaymentAttempt,
    build_attempt_reference,
)
from gateway.state_machine.events import emit_paid_twice
from gateway.state_machine.ledger_postings import post_duplicate_payment
from gateway.state_machine.suspense import settle_suspense


def begin_next_attempt(
    *,
    payment: Payment,
    number: int,
    channel: str,
    channel_account_id: uuid.UUID | None,
    sandbox: bool,
    application_fee_minor: int,
    payment_method: str,
    code: str,
    message: str,
) -> None:
    """Ends the current attempt as declined (`code`, `message`) and begins attempt `number` at `channel`, with this
    account. The caller holds the payment's lock."""
    close_current_attempt(payment.id, AttemptStatus.DECLINED, failure_code=code, failure_message=message)
    reference = build_attempt_reference(payment.payment_no, number)
    PaymentAttempt.objects.create(
        payment=payment,
        number=number,
        reference=reference,
        channel=channel,
        channel_account_id=channel_account_id,
        sandbox=sandbox,
        application_fee_minor=application_fee_minor,
    )
    Payment.objects.filter(id=payment.id).update(
        channel=channel,
        channel_account_id=channel_account_id,
        sandbox=sandbox,
        payment_method=payment_method,
        channel_reference=reference,
        channel_trade_no="",
        card_brand="",
        card_last_four="",
        card_wallet="",
        updated_at=Now(),
    )


def get_next_attempt_number(*, payment: Payment) -> int:
    last = payment.attempts.order_by("-number").values_list("number", flat=True).first()
    return (last or 0) + 1


def record_duplicate_payment(
    *, payment: Payment, attempt: PaymentAttempt, captured_minor: int, channel_trade_no: str
) -> bool:
    """Records the money that an earlier attempt captured after a later one had replaced it. It is kept apart from the
    payment's own money, to be refunded.

    False when it was recorded before.
    """
    recorded = PaymentAttempt.objects.filter(id=attempt.id, duplicate_minor=0).update(
        status=AttemptStatus.SUCCEEDED,
        duplicate_minor=captured_minor,
        channel_trade_no=channel_trade_no,
        finished_at=Now(),
    )
    if recorded:
        attempt.refresh_from_db()
        post_duplicate_payment(payment=payment, attempt=attempt)
        # Its dispute or refund may have been reported before.
        settle_suspense(payment=payment)
        attempt.refresh_from_db()
        emit_paid_twice(payment, attempt)
    return bool(recorded)


def close_current_attempt(payment_id: uuid.UUID, status: AttemptStatus, **changes: str) -> None:
    PaymentAttempt.objects.filter(payment_id=payment_id, status__in=OPEN_ATTEMPT_STATUSES).update(
        status=status, finished_at=Now(), **changes
    )
