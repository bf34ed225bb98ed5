"""Orders as the API shows them."""

from typing import Any

from common.clock import rfc3339
from orders.models import Order


def order_body(order: Order) -> dict[str, Any]:
    return {
        "order_no": order.order_no,
        "amount": order.amount_minor,
        "currency": order.currency,
        "status": order.status,
        "subject": order.subject,
        "items": [
            {
                "name": item.name,
                "quantity": item.quantity,
                "unit_amount": item.unit_amount_minor,
                "amount": item.amount_minor,
            }
            for item in order.items.all()
        ],
        "metadata": order.metadata,
        "environment": order.environment,
        "created_at": rfc3339(order.created_at),
        "paid_at": rfc3339(order.paid_at),
        "cancelled_at": rfc3339(order.cancelled_at),
    }


def order_path(order: Order) -> str:
    """The address of the order: the `Location` of an answer that is not final."""
    return f"/api/v1/orders/{order.order_no}"
