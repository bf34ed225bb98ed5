"""Reads, always within one merchant and environment: another tenant's object does not exist for the caller."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from gateway.models import Dispute, Payment, PaymentAttempt, Refund
from merchants.principal import Principal
from orders.models import Order


def payments_of(principal: Principal) -> QuerySet[Payment]:
    return Payment.objects.filter(merchant_id=principal.merchant_id, environment=principal.environment)


def refunds_of(principal: Principal) -> QuerySet[Refund]:
    return Refund.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).select_related("payment")


def payment_of(principal: Principal, payment_no: str) -> Payment:
    """Raises `NotFound`."""
    payment = payments_of(principal).filter(payment_no=payment_no).first()
    if payment is None:
        raise NotFound({"payment_no": payment_no})
    return payment


def payment_by_trade_no(principal: Principal, channel_trade_no: str) -> Payment:
    """Raises `NotFound`."""
    payment = (
        payments_of(principal).filter(channel_trade_no=channel_trade_no).exclude(channel_trade_no="").first()
    )
    if payment is None:
        raise NotFound({"channel_trade_no": channel_trade_no})
    return payment


def refund_of(principal: Principal, refund_no: str) -> Refund:
    """Raises `NotFound`."""
    refund = refunds_of(principal).filter(refund_no=refund_no).first()
    if refund is None:
        raise NotFound({"refund_no": refund_no})
    return refund


def payment_by_id(payment_id: uuid.UUID) -> Payment:
    return Payment.objects.get(id=payment_id)


def payment_opened_by(saga_id: uuid.UUID) -> Payment:
    """The payment that the saga created, or tried again."""
    created = Payment.objects.filter(id=saga_id).first()
    return created or Payment.objects.get(attempts__opened_by=saga_id)


def opening_saga_id(payment: Payment) -> uuid.UUID:
    """The saga that opened the current attempt: the payment's own, unless the payment was tried again."""
    if payment.reference == payment.payment_no:
        return payment.id
    again = payment.attempts.filter(opened_by__isnull=False).order_by("-number")
    return again.values_list("opened_by", flat=True).first() or payment.id


def any_payment(payment_id: uuid.UUID) -> Payment | None:
    """Whoever's it is: for customers, whose link proves that they may see it."""
    return Payment.objects.filter(id=payment_id).first()


def payment_of_order(order: Order) -> Payment | None:
    return Payment.objects.filter(order=order).first()


def locked_by_reference(reference: str) -> Payment | None:
    """The payment of which a channel speaks, locked."""
    locked = Payment.objects.select_for_update(of=("self",))
    return (
        locked.filter(attempts__reference=reference, attempts__reference__gt="").first()
        or locked.filter(payment_no=reference).first()
    )


def by_reference(reference: str) -> Payment | None:
    """The payment of which a channel speaks, not locked."""
    return (
        Payment.objects.filter(attempts__reference=reference, attempts__reference__gt="").first()
        or Payment.objects.filter(payment_no=reference).first()
    )


def attempt_reference_of(trade_no: str, *, channel: str, environment: str) -> str:
    """What a channel's own number is known by here; empty when no row has it."""
    found = Payment.objects.filter(
        channel_trade_no=trade_no, channel=channel, environment=environment, sandbox=False
    ).first()
    return found.reference if found else ""


def given_up_attempt(payment: Payment, reference: str) -> PaymentAttempt | None:
    """The attempt with this reference, unless the payment still stands for it."""
    if reference == payment.reference:
        return None
    return payment.attempts.filter(reference=reference).first()


def locked_refund(*, reference: str, channel: str, number: str) -> Refund | None:
    """The refund with our number `reference`, or else with the channel's own `number`, and its payment, locked in the
    platform's order."""
    named = _refund_id(reference, channel, number)
    if named is None:
        return None
    payment = Payment.objects.select_for_update(of=("self",)).get(refunds__id=named)
    refund = Refund.objects.select_for_update(of=("self",)).select_related("surplus_of").get(id=named)
    refund.payment = payment
    return refund


def knows_refund(*, reference: str, channel: str, number: str) -> bool:
    return _refund_id(reference, channel, number) is not None


def _refund_id(reference: str, channel: str, number: str) -> uuid.UUID | None:
    ids = Refund.objects.values_list("id", flat=True)
    found = ids.filter(refund_no=reference).first() if reference else None
    if found is None and number:
        found = ids.filter(channel=channel, channel_refund_no=number).first()
    return found


def disputes_of(principal: Principal) -> QuerySet[Dispute]:
    return Dispute.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).select_related("payment")


def dispute_of(principal: Principal, dispute_no: str) -> Dispute:
    """Raises `NotFound`."""
    dispute = disputes_of(principal).filter(dispute_no=dispute_no).first()
    if dispute is None:
        raise NotFound({"dispute_no": dispute_no})
    return dispute
