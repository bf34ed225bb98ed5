from collections.abc import Mapping

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from merchants.models import Merchant


class OrderStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    PAID = "paid", _("Paid")
    CANCELLED = "cancelled", _("Cancelled")


# The trigger of migration 0002 enforces the same pairs, and docs/ARCHITECTURE.md lists them; a test compares the three.
ORDER_TRANSITIONS: Mapping[OrderStatus, tuple[OrderStatus, ...]] = {
    OrderStatus.PENDING: (OrderStatus.PAID, OrderStatus.CANCELLED),
    OrderStatus.PAID: (),
    # A further attempt at the payment reopens the order (ADR 18), unless the merchant has cancelled the order itself.
    OrderStatus.CANCELLED: (OrderStatus.PENDING,),
}


class Order(models.Model):
    """An order of a merchant. A deferred trigger guarantees that its items add up to its amount."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order_no = models.CharField(max_length=64)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=20, choices=OrderStatus, default=OrderStatus.PENDING)
    subject = models.CharField(max_length=255)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)
    paid_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text=_("When its cancellation was requested; no further attempt is allowed."),
    )

    class Meta:
        db_table = "orders"
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        constraints = [
            models.UniqueConstraint(name="order_no_once", fields=["merchant", "environment", "order_no"]),
            models.CheckConstraint(name="order_amount_positive", condition=models.Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="order_status_known", condition=models.Q(status__in=OrderStatus.values)
            ),
            models.CheckConstraint(
                name="order_environment_known", condition=models.Q(environment__in=["test", "live"])
            ),
        ]
        indexes = [
            models.Index(name="order_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]),
            models.Index(
                name="order_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
            models.Index(name="order_newest", fields=["-created_at"]),
            models.Index(name="order_by_amount", fields=["currency", "amount_minor"]),
            models.Index(OpClass(Upper("order_no"), name="text_pattern_ops"), name="order_find_no"),
        ]

    def __str__(self) -> str:
        return self.order_no


class OrderItem(models.Model):
    """One item of an order. The amount is 0 for a free item, and negative for a discount or a rounding difference. A
    deferred trigger keeps the sum of the items equal to the order's amount, which is positive."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="items", db_index=False)
    position = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=255)
    quantity = models.PositiveIntegerField()
    unit_amount_minor = models.BigIntegerField()
    amount_minor = models.BigIntegerField()

    class Meta:
        db_table = "order_items"
        verbose_name = _("order item")
        verbose_name_plural = _("order items")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(name="order_item_position_once", fields=["order", "position"]),
            models.CheckConstraint(
                name="order_item_adds_up",
                condition=models.Q(amount_minor=models.F("unit_amount_minor") * models.F("quantity")),
            ),
            models.CheckConstraint(name="order_item_quantity", condition=models.Q(quantity__gt=0)),
        ]

    def __str__(self) -> str:
        return self.name
