"""What the order endpoints take, and what the documentation says they give."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import (
    AmountField,
    CreatedRangeQuery,
    CurrencyField,
    MetadataField,
    StrictSerializer,
    TextField,
    WholeNumberField,
)
from orders.models import OrderStatus

MAX_ITEMS = 100


class OrderNoField(serializers.RegexField):
    """What merchants call an order: fit to stand in an address, up to 64 characters."""

    default_error_messages = {"invalid": _("Use letters, digits and - _ . : @ + = ~ only.")}

    def __init__(self, **kwargs: Any) -> None:
        # Not . and ..: in an address they mean something else.
        super().__init__(r"^(?!\.{1,2}\Z)[\w.:@+=~-]+\Z", max_length=64, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class ItemInput(StrictSerializer):
    name = TextField(max_length=255)
    quantity = WholeNumberField(min_value=1, max_value=1_000_000)
    unit_amount = AmountField(help_text=_("Minor units."))


def check_items_add_up(values: dict[str, Any]) -> None:
    """Raises `ValidationError` on `items` when they do not add up to `amount`."""
    items = values.get("items") or []
    total = sum(item["quantity"] * item["unit_amount"] for item in items)
    if items and total != values["amount"]:
        raise serializers.ValidationError(
            {"items": [_("The items add up to %(total)s, not to the amount.") % {"total": total}]}
        )


class OrderInput(StrictSerializer):
    order_no = OrderNoField()
    amount = AmountField(help_text=_("Minor units."))
    currency = CurrencyField()
    subject = TextField(max_length=255)
    items = serializers.ListField(child=ItemInput(), required=False, min_length=1, max_length=MAX_ITEMS)
    metadata = MetadataField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        check_items_add_up(attrs)
        return attrs


class OrderQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=OrderStatus.choices, required=False)


class ItemOutput(serializers.Serializer[Any]):
    name = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_amount = serializers.IntegerField()
    amount = serializers.IntegerField()


class OrderOutput(serializers.Serializer[Any]):
    order_no = serializers.CharField()
    amount = serializers.IntegerField()
    currency = serializers.CharField()
    status = serializers.ChoiceField(choices=OrderStatus.choices)
    subject = serializers.CharField()
    items = ItemOutput(many=True)
    metadata = serializers.DictField()
    environment = serializers.CharField()
    created_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
