"""Reads, always within one merchant and environment: another tenant's object does not exist (design section 1)."""

import uuid

from django.db.models import QuerySet

from common.errors import NotFound
from gateway.models import Payment, Refund
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


def payment_of_order(order: Order) -> Payment | None:
    return Payment.objects.filter(order=order).first()
