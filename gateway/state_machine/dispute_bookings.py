"""Books what a bank has taken in disputes against the money of the payment; what exceeds it is in suspense (ADR 49).
The caller holds the payment's lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models.functions import Now

from gateway.models import Dispute, Payment, PaymentAttempt, ReviewCode
from gateway.review_reasons import ReviewMessage, ReviewReason, amount_value
from gateway.state_machine.ledger_postings import post_dispute_change
from gateway.state_machine.reviews import open_review, resolve_reviews


@dataclass(frozen=True, slots=True)
class _Booking:
    """`blocked_minor` in the payment's currency, `suspense_minor` in the dispute's."""

    blocked_minor: int
    suspense_minor: int


def book_disputes(*, payment: Payment, withdrawn_before: Mapping[str, int] | None = None) -> None:
    """Divides the money of the payment's disputes between the payment and suspense, and posts what changed.

    `withdrawn_before` is what the bank had taken before the caller's change, by dispute number; a dispute that is not
    named has not changed.
    """
    payment.refresh_from_db()
    disputes = list(payment.disputes.select_related("attempt").order_by("created_at", "id"))
    for attempt_id in {dispute.attempt_id for dispute in disputes}:
        same_money = [dispute for dispute in disputes if dispute.attempt_id == attempt_id]
        attempt = same_money[0].attempt
        # Releasing comes first: what one dispute gives back, another may need.
        blocked_minor = sum(dispute.blocked_minor for dispute in same_money)
        unbooked_minor = attempt.unbooked_duplicate_minor if attempt else payment.unbooked_minor
        left_minor = unbooked_minor + blocked_minor
        for dispute in same_money:
            dispute.payment = payment
            booking = _divide(dispute, payment.currency, left_minor)
            left_minor -= booking.blocked_minor
            before_minor = (withdrawn_before or {}).get(dispute.dispute_no, dispute.withdrawn_minor)
            _change_booking(dispute, booking, before_minor)
        _store_totals(payment, attempt, same_money)
    payment.refresh_from_db()


def _divide(dispute: Dispute, payment_currency: str, left_minor: int) -> _Booking:
    """A dispute in another currency has no rate of ours: all of it is in suspense, and all that is left is blocked."""
    withdrawn_minor = dispute.withdrawn_minor
    if withdrawn_minor == 0:
        return _Booking(0, 0)
    if dispute.currency.upper() != payment_currency:
        return _Booking(left_minor, 0 if dispute.is_excess_charged else withdrawn_minor)
    blocked_minor = min(withdrawn_minor, left_minor)
    return _Booking(blocked_minor, 0 if dispute.is_excess_charged else withdrawn_minor - blocked_minor)


def _change_booking(dispute: Dispute, booking: _Booking, withdrawn_before_minor: int) -> None:
    suspense_before_minor = dispute.suspense_minor
    dispute.blocked_minor, dispute.suspense_minor = booking.blocked_minor, booking.suspense_minor
    Dispute.objects.filter(id=dispute.id).update(
        blocked_minor=booking.blocked_minor, suspense_minor=booking.suspense_minor
    )
    post_dispute_change(
        dispute=dispute,
        withdrawn_before_minor=withdrawn_before_minor,
        suspense_before_minor=suspense_before_minor,
    )
    if booking.suspense_minor > suspense_before_minor:
        open_review(
            payment=dispute.payment,
            code=ReviewCode.DISPUTE_EXCESS,
            subject=dispute.dispute_no,
            reason=ReviewReason(
                ReviewMessage.DISPUTE_EXCESS,
                {
                    "dispute_no": dispute.dispute_no,
                    "withdrawn": amount_value(dispute.withdrawn_minor, dispute.currency),
                    "excess": amount_value(booking.suspense_minor, dispute.currency),
                },
            ),
        )
    elif suspense_before_minor and not booking.suspense_minor:
        resolve_reviews(
            payment=dispute.payment,
            codes=(ReviewCode.DISPUTE_EXCESS,),
            subject=dispute.dispute_no,
            resolution="nothing of the dispute is in suspense any more",
            actor="system",
        )


def _store_totals(payment: Payment, attempt: PaymentAttempt | None, disputes: list[Dispute]) -> None:
    blocked_minor = sum(dispute.blocked_minor for dispute in disputes)
    if attempt is not None:
        PaymentAttempt.objects.filter(id=attempt.id).update(duplicate_disputed_minor=blocked_minor)
        return
    in_suspense_minor = sum(
        dispute.suspense_minor for dispute in disputes if dispute.currency.upper() == payment.currency
    )
    items = payment.suspense_items.filter(status="open", attempt=None, currency=payment.currency)
    in_suspense_minor += sum(items.values_list("amount_minor", flat=True))
    Payment.objects.filter(id=payment.id).update(
        disputed_minor=blocked_minor, suspense_minor=in_suspense_minor, updated_at=Now()
    )
