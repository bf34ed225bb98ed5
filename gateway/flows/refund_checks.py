"""Checks of a refund before it is requested: the payment's own money, and the limits of its channel. The caller holds
the payment's lock, or checks again while holding it."""

import datetime as dt

from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils import timezone

from channels.registry import get_capabilities
from common.errors import ValidationFailed
from gateway import limits
from gateway.errors import (
    AmountNotSupported,
    PaymentDisputed,
    PaymentNotRefundable,
    RefundAdopted,
    RefundCountReached,
    RefundExceedsPayment,
    RefundWindowOver,
)
from gateway.models import Payment, PaymentAttempt, Refund, RefundStatus, ReviewCode

# What `require_refund_allowed` and `require_amount_left` raise.
REFUND_REFUSALS = (
    AmountNotSupported,
    PaymentDisputed,
    PaymentNotRefundable,
    RefundAdopted,
    RefundCountReached,
    RefundExceedsPayment,
    RefundWindowOver,
    ValidationFailed,
)


def require_refund_allowed(*, payment: Payment, amount_minor: int) -> None:
    """Raises one of `REFUND_REFUSALS`."""
    if not payment.has_refundable_status:
        raise PaymentNotRefundable({"payment_no": payment.payment_no, "status": payment.status})
    require_amount_left(payment=payment, amount_minor=amount_minor)
    if payment.needs_attention:
        _refuse_repetition(payment, amount_minor)
    limits.require_refund_allowed(
        channel=payment.channel,
        currency=payment.currency,
        captured_minor=payment.captured_minor,
        amount_minor=amount_minor,
        paid_at=payment.paid_at,
        earlier_count=_count_refunds(payment),
    )


def require_amount_left(*, payment: Payment, amount_minor: int) -> None:
    """Raises `PaymentDisputed` and `RefundExceedsPayment`."""
    if amount_minor <= payment.refundable_minor:
        return
    details = {
        "payment_no": payment.payment_no,
        "payment_amount": payment.amount_minor,
        "captured_amount": payment.captured_minor,
        "refunded_amount": payment.refunded_minor,
        "pending_amount": payment.refund_pending_minor,
        "refundable_amount": payment.refundable_minor,
    }
    if amount_minor <= payment.unrefunded_minor:
        raise PaymentDisputed({**details, "disputed_amount": payment.disputed_minor})
    raise RefundExceedsPayment(details)


def _refuse_repetition(payment: Payment, amount_minor: int) -> None:
    """After a restore the merchant may repeat a refund whose Idempotency-Key was lost, and that the channel has made.
    Raises `RefundAdopted` for the amount of an adopted refund until its review is resolved."""
    in_review = payment.reviews.filter(code=ReviewCode.ADOPTED, resolved_at=None).values("subject")
    adopted = payment.refunds.filter(refund_no__in=in_review, amount_minor=amount_minor)
    refund = adopted.exclude(status=RefundStatus.FAILED).first()
    if refund is not None:
        raise RefundAdopted({"payment_no": payment.payment_no, "refund_no": refund.refund_no})


def get_earliest_call(payment: Payment, attempt: PaymentAttempt | None) -> dt.datetime | None:
    """The earliest time at which the channel makes the next refund of the payment, or of the attempt's duplicate
    payment; None: now."""
    seconds = get_capabilities((attempt or payment).channel).refunds.min_seconds_between
    if not seconds:
        return None
    refunds = Refund.objects.filter(payment=payment, duplicate_attempt=attempt)
    last_call_at = refunds.aggregate(last=Max(Coalesce("call_at", "created_at")))["last"]
    if last_call_at is None:
        return None
    earliest: dt.datetime = last_call_at + dt.timedelta(seconds=seconds)
    return earliest if earliest > timezone.now() else None


def _count_refunds(payment: Payment) -> int:
    """The refunds that count for the channel's limit; 0 without a query where there is none."""
    if get_capabilities(payment.channel).refunds.max_count is None:
        return 0
    return payment.refunds.filter(duplicate_attempt=None).exclude(status=RefundStatus.FAILED).count()
