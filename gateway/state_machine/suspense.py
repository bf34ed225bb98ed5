"""Money that a channel has taken beyond what the payment holds: in suspense until it fits, comes back, or staff charge
it to the merchant (ADR 49). The caller holds the payment's lock.
"""

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from common.ids import public_number, uuid7
from gateway.models import (
    Payment,
    PaymentAttempt,
    Refund,
    RefundOrigin,
    ReviewCode,
    SuspenseItem,
    SuspenseStatus,
)
from gateway.state_machine import ledger_postings
from gateway.state_machine.dispute_bookings import book_disputes
from gateway.state_machine.refunds import add_to_totals, mark_refund_succeeded, record_channel_refund
from gateway.state_machine.reviews import resolve_reviews


def hold_in_suspense(
    *,
    payment: Payment,
    attempt: PaymentAttempt | None,
    channel_refund_no: str,
    amount_minor: int,
    currency: str,
    refund: Refund | None = None,
) -> bool:
    """Puts a refund of the channel, or the rest of `refund`, into suspense. False when it was there before: the
    channel reports a refund more than once."""
    source = attempt or payment
    item, is_new = SuspenseItem.objects.get_or_create(
        payment=payment,
        channel_refund_no=channel_refund_no,
        defaults={
            "id": uuid7(),
            "attempt": attempt,
            "refund": refund,
            "channel": source.channel,
            "channel_account_id": source.channel_account_id,
            "amount_minor": amount_minor,
            "currency": currency,
        },
    )
    if not is_new:
        return False
    ledger_postings.post_added_suspense(item)
    _count_in_payment(item, amount_minor)
    return True


def return_from_suspense(*, payment: Payment, channel_refund_no: str) -> bool:
    """The channel reports that the refund failed after all: the money is back."""
    held = payment.suspense_items.filter(status__in=(SuspenseStatus.OPEN, SuspenseStatus.CHARGED))
    item = held.filter(channel_refund_no=channel_refund_no).first()
    if item is None:
        return False
    is_charged = item.status == SuspenseStatus.CHARGED
    _release(item, SuspenseStatus.RETURNED, "the channel reports the refund as failed", "channel")
    ledger_postings.post_released_suspense(item, is_charged=is_charged)
    return True


def settle_suspense(*, payment: Payment) -> None:
    """Books what fits by now: first the disputes, then the refunds, oldest first. Called whenever the payment may have
    room: money was captured, a refund failed, a dispute gave money back."""
    book_disputes(payment=payment)
    for item in _find_open_items(payment).filter(currency=payment.currency).order_by("opened_at", "id"):
        payment.refresh_from_db()
        attempt = item.attempt
        room_minor = attempt.unbooked_duplicate_minor if attempt else payment.unbooked_minor
        if item.amount_minor <= room_minor:
            _book(payment, item)
    payment.refresh_from_db()


def charge_suspense(*, payment: Payment, actor: str, reason: str) -> int:
    """Staff charge everything in suspense to the merchant. Returns how many items and disputes."""
    charged = 0
    for item in _find_open_items(payment).order_by("opened_at", "id"):
        _release(item, SuspenseStatus.CHARGED, reason, actor)
        ledger_postings.post_charged_suspense(item)
        charged += 1
    charged += payment.disputes.filter(suspense_minor__gt=0).update(is_excess_charged=True, updated_at=Now())
    resolve_reviews(payment=payment, codes=(ReviewCode.DISPUTE_EXCESS,), resolution=reason, actor=actor)
    book_disputes(payment=payment)
    return charged


def _find_open_items(payment: Payment) -> QuerySet[SuspenseItem]:
    return payment.suspense_items.filter(status=SuspenseStatus.OPEN)


def _book(payment: Payment, item: SuspenseItem) -> None:
    """Books the item as the refund that it is."""
    _release(item, SuspenseStatus.BOOKED, "it fits into the payment by now", "system")
    ledger_postings.post_released_suspense(item)
    if item.refund is not None:
        _book_rest(item, item.refund)
        return
    refund = Refund(
        refund_no=public_number("REF", item.opened_at.date()),
        payment=payment,
        duplicate_attempt=item.attempt,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        amount_minor=item.amount_minor,
        currency=payment.currency,
        reason=f"refunded at {item.channel}",
        origin=RefundOrigin.CHANNEL,
        channel=item.channel,
        channel_account_id=item.channel_account_id,
        channel_refund_no=item.channel_refund_no,
    )
    record_channel_refund(refund=refund)
    mark_refund_succeeded(refund=refund, channel_refund_no=item.channel_refund_no)


def _book_rest(item: SuspenseItem, refund: Refund) -> None:
    """Books the item as the rest of a refund that succeeded late."""
    Refund.objects.filter(id=refund.id).update(
        late_refunded_minor=F("late_refunded_minor") + item.amount_minor, updated_at=Now()
    )
    add_to_totals(refund, refunded_minor=item.amount_minor)
    ledger_postings.post_completed_refund(refund, amount_minor=item.amount_minor)


def _release(item: SuspenseItem, status: SuspenseStatus, resolution: str, actor: str) -> None:
    SuspenseItem.objects.filter(id=item.id, status=item.status).update(status=status, released_at=Now())
    if item.status == SuspenseStatus.OPEN:
        _count_in_payment(item, -item.amount_minor)
    subject = item.refund.refund_no if item.refund else item.channel_refund_no
    resolve_reviews(
        payment=item.payment,
        codes=(ReviewCode.CHANNEL_REFUND, ReviewCode.REFUND_OUTCOME),
        subject=subject[:255],
        resolution=resolution,
        actor=actor,
    )


def _count_in_payment(item: SuspenseItem, amount_minor: int) -> None:
    """Adds to the payment's total of money in suspense, which cannot be refunded. The total has neither money of
    earlier attempts nor money in another currency."""
    if item.attempt_id is None and item.currency == item.payment.currency:
        Payment.objects.filter(id=item.payment_id).update(
            suspense_minor=F("suspense_minor") + amount_minor, updated_at=Now()
        )
