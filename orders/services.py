"""Places orders, and moves them to paid, cancelled and back to pending."""

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from common.clock import database_now
from common.db import insert_together, insert_unless_exists
from common.transitions import quote_statuses, sources_of
from orders.errors import DuplicateOrderNo, OrderMismatch, OrderNotPayable
from orders.models import ORDER_TRANSITIONS, Order, OrderItem, OrderStatus

# Of the order with the id that the SQL `order_id` stands for. Also part of the statement that moves its payment.
MARK_ORDER_PAID = f"""
UPDATE orders SET status = 'paid', paid_at = statement_timestamp(), updated_at = statement_timestamp()
WHERE id = {{order_id}} AND status IN ({quote_statuses(sources_of(ORDER_TRANSITIONS, OrderStatus.PAID))})
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ItemDraft:
    name: str
    quantity: int
    unit_amount_minor: int

    @property
    def amount_minor(self) -> int:
        return self.quantity * self.unit_amount_minor


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """The order that a merchant requests. Without items it gets one item, named after its subject."""

    merchant_id: uuid.UUID
    environment: str
    order_no: str
    amount_minor: int
    currency: str
    subject: str
    items: tuple[ItemDraft, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundOrder:
    """A new or an existing order. `now` is the database's clock.

    The caller inserts the `items` of a new order, together with its own rows; a deferred trigger requires them.
    """

    order: Order
    is_new: bool
    now: dt.datetime
    items: tuple[OrderItem, ...] = ()


def place_order(*, order_id: uuid.UUID, draft: OrderDraft) -> Order:
    """Inserts a new order with its items, in the caller's transaction. Raises `DuplicateOrderNo`."""
    order = _insert_order(order_id, draft)
    if order is None:
        raise DuplicateOrderNo({"order_no": draft.order_no})
    insert_together(*_build_items(order, draft))
    return order


def find_or_place_order(*, order_id: uuid.UUID, draft: OrderDraft) -> FoundOrder:
    """Inserts a new order without its items, or locks the existing one with this number, in the caller's
    transaction."""
    order = _insert_order(order_id, draft)
    if order is not None:
        return FoundOrder(order, True, order.created_at, _build_items(order, draft))
    order = Order.objects.select_for_update().get(
        merchant_id=draft.merchant_id, environment=draft.environment, order_no=draft.order_no
    )
    return FoundOrder(order, False, database_now())


def build_order(*, order_id: uuid.UUID, draft: OrderDraft, now: dt.datetime) -> FoundOrder:
    """Builds an order that the caller inserts, with its items and its own rows: an order with this number that exists
    already refuses them all."""
    order = _build_order(order_id, draft)
    order.created_at = order.updated_at = now
    return FoundOrder(order, True, now, _build_items(order, draft))


def require_order_payable(*, order: Order, draft: OrderDraft) -> None:
    """Raises `OrderNotPayable` when the order is not pending, `OrderMismatch` when its amount or currency differs."""
    if order.status != OrderStatus.PENDING:
        raise OrderNotPayable({"order_no": order.order_no, "status": order.status})
    if (order.amount_minor, order.currency) != (draft.amount_minor, draft.currency):
        raise OrderMismatch(
            {"order_no": order.order_no, "amount": order.amount_minor, "currency": order.currency}
        )


def _insert_order(order_id: uuid.UUID, draft: OrderDraft) -> Order | None:
    order = _build_order(order_id, draft)
    return order if insert_unless_exists(order) else None


def _build_order(order_id: uuid.UUID, draft: OrderDraft) -> Order:
    return Order(
        id=order_id,
        order_no=draft.order_no,
        merchant_id=draft.merchant_id,
        environment=draft.environment,
        amount_minor=draft.amount_minor,
        currency=draft.currency,
        subject=draft.subject,
        metadata=draft.metadata,
    )


def _build_items(order: Order, draft: OrderDraft) -> tuple[OrderItem, ...]:
    items = draft.items or (ItemDraft(draft.subject, 1, draft.amount_minor),)
    return tuple(
        OrderItem(
            order=order,
            position=position,
            name=item.name,
            quantity=item.quantity,
            unit_amount_minor=item.unit_amount_minor,
            amount_minor=item.amount_minor,
        )
        for position, item in enumerate(items, start=1)
    )


def mark_order_paid(*, order_id: uuid.UUID) -> bool:
    """False when the order was not pending any more."""
    with connection.cursor() as cursor:
        cursor.execute(MARK_ORDER_PAID.format(order_id="%s"), [order_id])
        return bool(cursor.rowcount)


def mark_order_cancelled(*, order_id: uuid.UUID) -> bool:
    """False when the order was not pending any more."""
    return _move_orders(Order.objects.filter(id=order_id), OrderStatus.CANCELLED, cancelled_at=Now())


def withdraw_order(*, order_id: uuid.UUID) -> None:
    """The merchant cancels the order itself, not only a payment of it: it can never be reopened."""
    Order.objects.filter(id=order_id, withdrawn_at=None).exclude(status=OrderStatus.PAID).update(
        withdrawn_at=Now(), updated_at=Now()
    )


def reopen_order(*, order_id: uuid.UUID) -> bool:
    """Makes a cancelled order pending again, for a further attempt at its payment. False when it is paid, or when the
    merchant has cancelled the order itself."""
    return _move_orders(
        Order.objects.filter(id=order_id, withdrawn_at=None), OrderStatus.PENDING, cancelled_at=None
    )


def _move_orders(orders: QuerySet[Order], target: OrderStatus, **changes: Any) -> bool:
    movable = orders.filter(status__in=sources_of(ORDER_TRANSITIONS, target))
    return bool(movable.update(status=target, updated_at=Now(), **changes))
