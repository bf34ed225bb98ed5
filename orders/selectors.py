"""Reads orders, always of one merchant and environment."""

from django.db.models import QuerySet

from common.errors import NotFound
from merchants.principal import Principal
from orders.models import Order


def list_orders(principal: Principal) -> QuerySet[Order]:
    return Order.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment
    ).prefetch_related("items")


def get_order(principal: Principal, order_no: str) -> Order:
    """Raises `NotFound`."""
    order = list_orders(principal).filter(order_no=order_no).first()
    if order is None:
        raise NotFound({"order_no": order_no})
    return order
