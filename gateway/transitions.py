"""The state machines of payments and refunds, as conditional updates: each says from where, and whether it moved.

All run inside the caller's transaction. Lock order: payment, refund, order, and the saga's row last.
"""

import uuid
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from common.ids import uuid7
from events.outbox import Event, append
from gateway import metrics, representation
from gateway.models import (
    OPEN_REFUND_STATUSES,
    OPEN_STATUSES,
    Payment,
    PaymentAttempt,
    PaymentReview,
    PaymentStatus,
    Refund,
    RefundStatus,
    ReviewCode,
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


def next_attempt_number(*, payment: Payment) -> int:
    last = payment.attempts.order_by("-number").values_list("number", flat=True).first()
    return (last or 0) + 1


def reopened(
    *,
    payment: Payment,
    number: int,
    opened_by: uuid.UUID,
    expires_in_seconds: int,
    channel: str,
    sandbox: bool,
    **wanted: Any,
) -> bool:
    """A payment that ended without money waits for its customer again, as attempt `number`, because the merchant asks
    for it: nothing that a channel reports does this. The caller holds the payment's lock."""
    reference = attempt_reference(payment.payment_no, number)
    moved = _move(
        payment,
        CLOSED_STATUSES,
        PaymentStatus.PENDING,
        channel=channel,
        sandbox=sandbox,
        channel_reference=reference,
        channel_trade_no="",
        payment_url="",
        failure_code="",
        failure_message="",
        closed_at=None,
        next_check_at=None,
        check_count=0,
        expiry_attempts=0,
        next_expiry_at=None,
        expires_at=Now() + timedelta(seconds=expires_in_seconds),
        **wanted,
    )
    if moved:
        PaymentAttempt.objects.create(
            payment=payment,
            number=number,
            reference=reference,
            channel=channel,
            sandbox=sandbox,
            opened_by=opened_by,
        )
        _emit("payment.retried", payment)
    return moved


def note_refused_card(*, payment: Payment, code: str, message: str) -> bool:
    """The customer's card was refused on the channel's page, and another one may be tried: the payment stays open."""
    return bool(
        Payment.objects.filter(id=payment.id, status=PaymentStatus.PENDING)
        .exclude(failure_code=code, failure_message=message)
        .update(failure_code=code, failure_message=message, updated_at=Now())
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


_OPEN_REVIEW = """
INSERT INTO payment_reviews (id, payment_id, code, subject, text, resolution, resolved_by)
VALUES (%s, %s, %s, %s, %s, '', '')
ON CONFLICT (payment_id, code, subject) WHERE resolved_at IS NULL DO UPDATE SET text = EXCLUDED.text
"""


def open_review(*, payment: Payment, code: ReviewCode, text: str, subject: str = "") -> None:
    """The payment needs review for this reason, besides others that may be open. Nothing about money changes.

    An open review of the same code and subject gets the new text. A trigger sets `payments.needs_attention`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_REVIEW, [uuid7(), payment.id, code.value, subject[:255], text])


def resolve_reviews(
    *,
    payment: Payment,
    resolution: str,
    actor: str,
    codes: Collection[str] | None = None,
    subject: str | None = None,
) -> int:
    """Resolves the payment's open reviews, or those of `codes` and `subject` alone, and answers how many."""
    found = PaymentReview.objects.filter(payment=payment, resolved_at=None)
    if codes is not None:
        found = found.filter(code__in=codes)
    if subject is not None:
        found = found.filter(subject=subject)
    return found.update(resolved_at=Now(), resolution=resolution, resolved_by=actor)


def all_clear(*, payment: Payment) -> None:
    """No review is open."""
    Payment.objects.filter(id=payment.id, needs_attention=True).update(
        needs_attention=False, attention_reason="", updated_at=Now()
    )


# The wait after a refused cancellation of an expired payment, doubled each time.
EXPIRY_PAUSE_SECONDS = 10 * 60


def expiry_begun(*, payment: Payment) -> None:
    """Counts one more cancellation of an expired payment, and says when the next one may begin if the channel refuses
    this one. The caller holds the payment's lock."""
    pause = timedelta(seconds=EXPIRY_PAUSE_SECONDS * 2**payment.expiry_attempts)
    Payment.objects.filter(id=payment.id).update(
        expiry_attempts=F("expiry_attempts") + 1, next_expiry_at=Now() + pause, updated_at=Now()
    )


def expire_again(*, payment: Payment) -> None:
    """The expiry begins anew, after a person has seen to a channel that refused."""
    Payment.objects.filter(id=payment.id).update(expiry_attempts=0, next_expiry_at=None, updated_at=Now())


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
        _review_failed_automatic_refund(refund, message or code)
    return bool(moved)


def _review_failed_automatic_refund(refund: Refund, why: str) -> None:
    """A merchant repeats a failed refund; of late or duplicate money nobody else would know."""
    if refund.surplus_of_id or refund.payment.status in CLOSED_STATUSES:
        open_review(
            payment=refund.payment,
            code=ReviewCode.REFUND_FAILED,
            subject=refund.refund_no,
            text=f"late money could not be given back: {why}",
        )


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


def reserve_channel_refund(*, refund: Refund) -> None:
    """Writes down a refund that was made at the channel, with its amount reserved like any other. The caller holds
    the payment's lock and has seen that the amount fits."""
    refund.save(force_insert=True)
    if refund.surplus_of_id is not None:
        PaymentAttempt.objects.filter(id=refund.surplus_of_id).update(
            surplus_pending_minor=F("surplus_pending_minor") + refund.amount_minor
        )
    else:
        Payment.objects.filter(id=refund.payment_id).update(
            refund_pending_minor=F("refund_pending_minor") + refund.amount_minor, updated_at=Now()
        )


def refund_failed_after_success(*, refund: Refund, code: str, message: str) -> bool:
    """The channel took a succeeded refund back (the customer's bank returned the money): the amount can be refunded
    again. The channel is asked once more, in case its reports overtook each other. The caller holds the payment's lock.
    """
    moved = _change_outcome(
        refund, RefundStatus.SUCCEEDED, RefundStatus.FAILED, failure_code=code, failure_message=message
    )
    if moved:
        _add_refunded(refund, -refund.amount_minor)
        _emit_refund("refund.failed", refund)
        _review_failed_automatic_refund(refund, message or code)
    return moved


def refund_succeeded_after_failure(*, refund: Refund, channel_refund_no: str) -> bool:
    """The money of a failed refund went back after all. It is booked as far as it fits into what is left: if it does
    not fit wholly, the status stays and a person looks. The caller holds the payment's lock.

    False when it was recorded before.
    """
    if refund.late_refunded_minor:
        return False
    left = refund.surplus_of.surplus_left_minor if refund.surplus_of else refund.payment.unrefunded_minor
    number = channel_refund_no or refund.channel_refund_no
    if left >= refund.amount_minor:
        moved = _change_outcome(
            refund, RefundStatus.FAILED, RefundStatus.SUCCEEDED, channel_refund_no=number, failure_code=""
        )
        if moved:
            _add_refunded(refund, refund.amount_minor)
            _emit_refund("refund.succeeded", refund)
            resolve_reviews(
                payment=refund.payment,
                codes=(ReviewCode.REFUND_FAILED,),
                subject=refund.refund_no,
                resolution="the refund succeeded after all",
                actor="channel",
            )
        return moved
    return _book_what_fits(refund, left, number)


def _book_what_fits(refund: Refund, left: int, channel_refund_no: str) -> bool:
    recorded = Refund.objects.filter(
        id=refund.id, status=RefundStatus.FAILED, contradicted_at__isnull=True
    ).update(
        contradicted_at=Now(),
        late_refunded_minor=left,
        channel_refund_no=channel_refund_no,
        updated_at=Now(),
    )
    if recorded:
        _add_refunded(refund, left)
        _emit_refund("refund.late_success", refund)
        open_review(
            payment=refund.payment,
            code=ReviewCode.REFUND_OUTCOME,
            subject=refund.refund_no,
            text=f"refund {refund.refund_no} is failed here, and the channel says that the money went back; "
            f"{refund.amount_minor - left} of it more than was left to refund",
        )
    return bool(recorded)


def _change_outcome(refund: Refund, origin: RefundStatus, target: RefundStatus, **changes: Any) -> bool:
    moved = Refund.objects.filter(id=refund.id, status=origin).update(
        status=target,
        previous_status=origin,
        contradicted_at=Now(),
        settled_at=Now(),
        next_check_at=Now() + FIRST_CHECK,
        check_count=0,
        updated_at=Now(),
        **changes,
    )
    return bool(moved)


def _add_refunded(refund: Refund, amount_minor: int) -> None:
    if refund.surplus_of_id is not None:
        PaymentAttempt.objects.filter(id=refund.surplus_of_id).update(
            surplus_refunded_minor=F("surplus_refunded_minor") + amount_minor
        )
    else:
        Payment.objects.filter(id=refund.payment_id).update(
            refunded_minor=F("refunded_minor") + amount_minor, updated_at=Now()
        )


def confirm_refund(*, refund: Refund) -> bool:
    """A report contradicts the settled outcome and may be an old one: the channel is asked what is true now."""
    return bool(
        Refund.objects.filter(id=refund.id, next_check_at=None).update(
            next_check_at=Now(), check_count=0, updated_at=Now()
        )
    )


def refund_confirmed(*, refund: Refund) -> None:
    """The channel was asked and agrees with the settled outcome: it is not asked again."""
    Refund.objects.filter(id=refund.id, next_check_at__isnull=False).exclude(
        status__in=OPEN_REFUND_STATUSES
    ).update(next_check_at=None)


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
