from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import (
    FlatInline,
    ReadOnlyAdmin,
    badge_column,
    label_column,
    money_column,
    money_text,
)
from common.admin_lists import AmountFilter, CreatedFilter
from merchants.admin import EnvironmentFilter, MerchantFilter, environment_filter
from merchants.models import Environment
from orders.models import Order, OrderItem

COLOURS = {"pending": "info", "paid": "success", "cancelled": "warning"}


class ItemMoney:
    """The amounts of an item, in the currency of its order."""

    @admin.display(description=_("unit amount"))
    def unit_amount(self, item: OrderItem) -> str:
        return money_text(item.unit_amount_minor, item.order.currency)

    @admin.display(description=_("amount"))
    def amount(self, item: OrderItem) -> str:
        return money_text(item.amount_minor, item.order.currency)


class OrderItemInline(ItemMoney, FlatInline):  # type: ignore[misc]  # unfold's mixins and Django's types
    model = OrderItem
    fields = ("name", "quantity", "unit_amount", "amount")
    readonly_fields = ("unit_amount", "amount")


@admin.register(OrderItem)
class OrderItemAdmin(ItemMoney, ReadOnlyAdmin):  # type: ignore[misc]
    list_display = ("name", "order", "quantity", "unit_amount", "amount")
    list_filter = (environment_filter("order__environment"),)
    list_select_related = ("order",)
    search_fields = ("=order__order_no", "=id")
    fields = ("order", "name", "quantity", "unit_amount", "amount")


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    amount = money_column("amount_minor", _("amount"))
    coloured_status = badge_column("status", _("status"), COLOURS)
    mode = label_column("environment", _("environment"), Environment)
    list_display = (
        "order_no",
        "merchant",
        "amount",
        "coloured_status",
        "mode",
        "created_at",
        "paid_at",
    )
    list_filter = ("status", EnvironmentFilter, MerchantFilter, AmountFilter, CreatedFilter)
    list_select_related = ("merchant",)
    search_fields = ("=order_no", "=id")
    search_help_text = _("Order number or order id, in full.")
    ordering = ("-created_at",)
    inlines = (OrderItemInline,)
    fields = (
        "order_no",
        "id",
        "merchant",
        "mode",
        "amount",
        "status",
        "subject",
        "metadata",
        "created_at",
        "updated_at",
        "paid_at",
        "cancelled_at",
    )
