"""The state machines of payments and refunds, as conditional updates: each says from where, and whether it moved.

All run inside the caller's transaction. Lock order: payment, refund, order, and the saga's row last.
"""

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from events.outbox import Event, append
from gateway import metrics, representation
from gateway.models import (
    OPEN_REFUND_STATUSES,
    OPEN_STATUSES,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    Refund,
    RefundStatus,
    attempt_reference,
)
from orders import services as orders

# The channel's own webhook is usually faster; after this we ask.
FIRST_CHECK = timedelta(seconds=60)

# Over without money of ours: what arrives afterwards is late.
CLOSED_STATUSES = (PaymentStatus.FAILED, PaymentStatus.CANCELLED, PaymentStatus.EXPIRED)

AttemptStatus = PaymentAttempt.Status


_ACTIVATE = """
WITH attempt AS (
    UPDATE payment_attempts SET status = 'open', channel_trade_no = %(channel_trade_no)s::text, finished_at = now()
    WHERE payment_id = %(id)s AND status IN ('calling', 'open')
)
UPDATE payments SET
    channel_trade_no = %(channel_trade_no)s::text, payment_url = %(payment_url)s, updated_at = now(),
    next_check_at = CASE WHEN status IN ('pending', 'processing', 'authorized')
                         THEN now() + make_interval(secs => %(first_check)s::float8) END
WHERE id = %(id)s
"""


def activate(*, payment_id: uuid.UUID, channel_trade_no: str, payment_url: str) -> None:
    """The channel has the payment and waits for the customer, unless a webhook has closed it meanwhile.

    By hand because it is on the hot path: payment and attempt in one statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _ACTIVATE,
            {
                "id": payment_id,
                "channel_trade_no": channel_trade_no,
                "payment_url": payment_url,
                "first_check": FIRST_CHECK.total_seconds(),
            },
        )


def next_attempt(
    *, payment: Payment, number: int, channel: str, sandbox: bool, code: str, message: str
) -> None:
    """The channel declined for reasons of its own (`code`, `message`): the payment goes on at another one as attempt
    `number`. The caller holds the payment's lock."""
    _close_attempt(payment.id, AttemptStatus.DECLINED, failure_code=code, failure_message=message)
    reference = attempt_reference(payment.payment_no, number)
    PaymentAttempt.objects.create(
        payment=payment, number=number, reference=reference, channel=channel, sandbox=sandbox
    )
    Payment.objects.filter(id=payment.id).update(
        channel=channel, sandbox=sandbox, channel_reference=reference, channel_trade_no="", updated_at=Now()
    )


def processing(*, payment: Payment) -> bool:
    """The customer has acted; the channel has not decided."""
    return _move(payment, (PaymentStatus.PENDING,), PaymentStatus.PROCESSING)


def authorized(*, payment: Payment) -> bool:
    moved = _move(payment, (PaymentStatus.PENDING, PaymentStatus.PROCESSING), PaymentStatus.AUTHORIZED)
    if moved:
        _emit("payment.authorized", payment)
    return moved


def succeeded(*, payment: Payment, captured_minor: int) -> bool:
    """The money is ours: the order is paid."""
    moved = _move(
        payment,
        OPEN_STATUSES,
        PaymentStatus.SUCCEEDED,
        captured_minor=captured_minor,
        paid_at=Now(),
        closed_at=Now(),
        next_check_at=None,
        failure_code="",
        failure_message="",
    )
    if moved:
        _close_attempt(payment.id, AttemptStatus.SUCCEEDED, channel_trade_no=payment.channel_trade_no)
        orders.mark_paid(order_id=payment.order_id)
        _emit("payment.succeeded", payment)
    return moved


def closed_unpaid(*, payment: Payment, status: PaymentStatus, code: str, message: str) -> bool:
    """Ends a payment without money: failed, cancelled or expired. Its order is cancelled."""
    moved = _move(
        payment,
        OPEN_STATUSES,
        status,
        failure_code=code,
        failure_message=message,
        closed_at=Now(),
        next_check_at=None,
    )
    if moved:
        attempt = AttemptStatus.DECLINED if status == PaymentStatus.FAILED else AttemptStatus.CANCELLED
        _close_attempt(
            payment.id,
            attempt,
            channel_trade_no=payment.channel_trade_no,
            failure_code=code,
            failure_message=message,
        )
        orders.mark_cancelled(order_id=payment.order_id)
        _emit(f"payment.{status}", payment)
    return moved


def late_success(*, payment: Payment, captured_minor: int) -> bool:
    """Money arrived for a payment that was closed. It is recorded, so that it can be refunded; the status stays.

    False when it was recorded before.
    """
    recorded = Payment.objects.filter(
        id=payment.id,
        captured_minor=0,
        status__in=CLOSED_STATUSES,
    ).update(captured_minor=captured_minor, paid_at=Now(), updated_at=Now())
    if recorded:
        payment.refresh_from_db()
        _emit("payment.late_success", payment)
    return bool(recorded)


def surplus(*, payment: Payment, attempt: PaymentAttempt, taken_minor: int, channel_trade_no: str) -> bool:
    """An attempt that was given up took money after all: it is kept apart from the payment's, to be given back.

    False when it was recorded before.
    """
    recorded = PaymentAttempt.objects.filter(id=attempt.id, surplus_minor=0).update(
        status=AttemptStatus.SUCCEEDED,
        surplus_minor=taken_minor,
        channel_trade_no=channel_trade_no,
        finished_at=Now(),
    )
    if recorded:
        attempt.refresh_from_db()
        body = {**representation.payment_body(payment), "attempt": representation.attempt_body(attempt)}
        append(replace(event("payment.paid_twice", payment), subject_id=attempt.id, data=body))
    return bool(recorded)


def watch(*, payment: Payment) -> bool:
    """The channel is asked, from now on and as often as about a new payment, until the payment has ended."""
    watched = Payment.objects.filter(id=payment.id, status__in=OPEN_STATUSES).update(
        next_check_at=Now(), check_count=0, updated_at=Now()
    )
    return bool(watched)


def watch_refund(*, refund: Refund) -> bool:
    watched = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        next_check_at=Now(), check_count=0, updated_at=Now()
    )
    return bool(watched)


def needs_attention(*, payment: Payment, reason: str) -> None:
    """Leaves the payment to a person; nothing about money changes."""
    Payment.objects.filter(id=payment.id).update(
        needs_attention=True, attention_reason=reason, updated_at=Now()
    )


def refund_processing(*, refund: Refund, channel_refund_no: str) -> bool:
    """The channel has taken the refund and will say later how it ended."""
    moved = Refund.objects.filter(id=refund.id, status=RefundStatus.PENDING).update(
        status=RefundStatus.PROCESSING,
        channel_refund_no=channel_refund_no,
        next_check_at=Now() + FIRST_CHECK,
        updated_at=Now(),
    )
    return bool(moved)


def refund_succeeded(*, refund: Refund, channel_refund_no: str) -> bool:
    """The reserved money becomes refunded money. The caller holds the payment's lock."""
    moved = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        status=RefundStatus.SUCCEEDED,
        channel_refund_no=channel_refund_no,
        settled_at=Now(),
        next_check_at=None,
        updated_at=Now(),
    )
    if moved:
        _settle_reserved(refund, refunded_minor=refund.amount_minor)
        _emit_refund("refund.succeeded", refund)
    return bool(moved)


def refund_failed(*, refund: Refund, code: str, message: str) -> bool:
    """The reservation is given back. The caller holds the payment's lock."""
    moved = Refund.objects.filter(id=refund.id, status__in=OPEN_REFUND_STATUSES).update(
        status=RefundStatus.FAILED,
        failure_code=code,
        failure_message=message,
        settled_at=Now(),
        next_check_at=None,
        updated_at=Now(),
    )
    if moved:
        _settle_reserved(refund, refunded_minor=0)
        _emit_refund("refund.failed", refund)
        if refund.surplus_of_id or refund.payment.status in CLOSED_STATUSES:
            reason = f"late money could not be given back: {message or code}"
            needs_attention(payment=refund.payment, reason=reason)
    return bool(moved)


def _settle_reserved(refund: Refund, *, refunded_minor: int) -> None:
    """Ends a refund's reservation where it was made: on the payment, or on the attempt whose surplus goes back."""
    if refund.surplus_of_id is not None:
        PaymentAttempt.objects.filter(id=refund.surplus_of_id).update(
            surplus_pending_minor=F("surplus_pending_minor") - refund.amount_minor,
            surplus_refunded_minor=F("surplus_refunded_minor") + refunded_minor,
        )
    else:
        Payment.objects.filter(id=refund.payment_id).update(
            refund_pending_minor=F("refund_pending_minor") - refund.amount_minor,
            refunded_minor=F("refunded_minor") + refunded_minor,
            updated_at=Now(),
        )


def refund_contradicted(*, refund: Refund, went_back: bool) -> bool:
    """The channel tells of a settled refund that it ended the other way. The status stays, because merchants act on
    it; the money is booked as far as it fits, and a person looks. The caller holds the payment's lock.

    False when it was recorded before.
    """
    late_minor = _book_late(refund) if went_back else 0
    recorded = Refund.objects.filter(id=refund.id, contradicted_at__isnull=True).update(
        contradicted_at=Now(), late_refunded_minor=late_minor, updated_at=Now()
    )
    if recorded:
        _emit_refund("refund.late_success" if went_back else "refund.late_failure", refund)
        told = "went back" if went_back else "did not go back"
        reason = (
            f"refund {refund.refund_no} is {refund.status} here, and the channel says that the money {told}"
        )
        if late_minor < refund.amount_minor and went_back:
            reason += f"; {refund.amount_minor - late_minor} of it more than was left to refund"
        needs_attention(payment=refund.payment, reason=reason)
    return bool(recorded)


def _book_late(refund: Refund) -> int:
    """How much of a refund that failed here and succeeded at the channel fits into what is left."""
    if refund.contradicted_at is not None:
        return refund.late_refunded_minor
    if refund.surplus_of is not None:
        fits = min(refund.amount_minor, refund.surplus_of.surplus_left_minor)
        PaymentAttempt.objects.filter(id=refund.surplus_of.id).update(
            surplus_refunded_minor=F("surplus_refunded_minor") + fits
        )
    else:
        fits = min(refund.amount_minor, refund.payment.refundable_minor)
        Payment.objects.filter(id=refund.payment_id).update(
            refunded_minor=F("refunded_minor") + fits, updated_at=Now()
        )
    return fits


def _move(
    payment: Payment, origins: tuple[PaymentStatus, ...], target: PaymentStatus, **changes: Any
) -> bool:
    moved = Payment.objects.filter(id=payment.id, status__in=origins).update(
        status=target, updated_at=Now(), **changes
    )
    if moved:
        payment.refresh_from_db()
    return bool(moved)


def _close_attempt(payment_id: uuid.UUID, status: str, **changes: str) -> None:
    PaymentAttempt.objects.filter(
        payment_id=payment_id, status__in=(AttemptStatus.CALLING, AttemptStatus.OPEN)
    ).update(status=status, finished_at=Now(), **changes)


def event(event_type: str, payment: Payment) -> Event:
    """What is told of a payment: as the API shows it at this moment."""
    return Event(
        type=event_type,
        ordering_key=payment.payment_no,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        subject_id=payment.id,
        data=representation.payment_body(payment),
        callback_url=payment.callback_url,
    )


def _emit(event_type: str, payment: Payment) -> None:
    append(event(event_type, payment))
    metrics.payment(event_type, payment)


def _emit_refund(event_type: str, refund: Refund) -> None:
    refund.refresh_from_db()
    append(
        Event(
            type=event_type,
            ordering_key=refund.payment.payment_no,
            merchant_id=refund.merchant_id,
            environment=refund.environment,
            subject_id=refund.id,
            data=representation.refund_body(refund),
            callback_url=refund.payment.callback_url,
        )
    )
    metrics.refund(event_type, refund)
