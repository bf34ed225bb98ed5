"""What the order endpoints take, and what the documentation says they give."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
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
from common.money import MAX_AMOUNT_MINOR
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


@extend_schema_field(
    {"type": "integer", "format": "int64", "minimum": -MAX_AMOUNT_MINOR, "maximum": MAX_AMOUNT_MINOR}
)
class SignedAmountField(AmountField):
    """An integer of minor units that may be zero (a free line) or negative (a discount, a rounding difference)."""

    default_error_messages = {
        "range": _("The amount must be between -%(max)s and %(max)s."),
    }
    min_amount_minor = -MAX_AMOUNT_MINOR


class ItemInput(StrictSerializer):
    name = TextField(max_length=255)
    quantity = WholeNumberField(min_value=1, max_value=1_000_000)
    unit_amount = SignedAmountField(
        help_text=_("Minor units. Zero for a free line, negative for a discount or a rounding difference.")
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        limit = {"max": MAX_AMOUNT_MINOR}
        if abs(attrs["quantity"] * attrs["unit_amount"]) > MAX_AMOUNT_MINOR:
            raise serializers.ValidationError(
                {"unit_amount": [_("Quantity times unit amount must not exceed %(max)s.") % limit]}
            )
        return attrs


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
