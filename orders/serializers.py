"""Request bodies and queries of the order endpoints, and their answers in the API documents."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common.api.fields import (
    AmountField,
    AmountOutput,
    CreatedRangeQuery,
    CurrencyField,
    CurrencyOutput,
    MetadataField,
    StrictSerializer,
    TextField,
    WholeNumberField,
)
from common.money import MAX_AMOUNT_MINOR
from merchants.models import Environment
from orders.models import OrderStatus

MAX_ITEMS = 100


# One expression for Python, JavaScript (ECMA-262) and RE2, so that the published pattern is the enforced one. ASCII
# only, so that no two numbers look alike; not . or .., which have a meaning in an address.
ORDER_NO_PATTERN = r"^(\.*[A-Za-z0-9_:@+=~-][A-Za-z0-9_.:@+=~-]*|\.{3,})$"


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": 64, "pattern": ORDER_NO_PATTERN})
class OrderNoField(serializers.RegexField):
    """The merchant's number of an order: up to 64 characters that can stand in an address."""

    default_error_messages = {"invalid": _("Use A-Z, a-z, 0-9 and - _ . : @ + = ~ only.")}

    def __init__(self, **kwargs: Any) -> None:
        whole = ORDER_NO_PATTERN.removesuffix("$") + r"\Z"  # Python's $ lets a line feed follow
        super().__init__(whole, max_length=64, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


@extend_schema_field(
    {"type": "integer", "format": "int64", "minimum": -MAX_AMOUNT_MINOR, "maximum": MAX_AMOUNT_MINOR}
)
class ItemAmountOutput(AmountOutput):
    """An amount in an answer that may be zero or negative."""


@extend_schema_field(
    {"type": "integer", "format": "int64", "minimum": -MAX_AMOUNT_MINOR, "maximum": MAX_AMOUNT_MINOR}
)
class SignedAmountField(AmountField):
    """An integer of minor units that may be zero (a free line) or negative (a discount, a rounding difference)."""

    default_error_messages = {
        "range": _("The amount must be between -%(max)s and %(max)s."),
    }
    min_amount_minor = -MAX_AMOUNT_MINOR


# Its checked values are the fields of `ItemDraft`.
class ItemInput(StrictSerializer):
    name = TextField(max_length=255)
    quantity = WholeNumberField(min_value=1, max_value=1_000_000)
    unit_amount = SignedAmountField(
        source="unit_amount_minor",
        help_text=_("Minor units. Zero for a free line, negative for a discount or a rounding difference."),
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        limit = {"max": MAX_AMOUNT_MINOR}
        if abs(attrs["quantity"] * attrs["unit_amount_minor"]) > MAX_AMOUNT_MINOR:
            raise serializers.ValidationError(
                {"unit_amount": [_("Quantity times unit amount must not exceed %(max)s.") % limit]}
            )
        return attrs


def check_items_add_up(values: dict[str, Any]) -> None:
    """Raises `ValidationError` on `items` when they do not add up to `amount`."""
    items = values.get("items") or []
    total = sum(item["quantity"] * item["unit_amount_minor"] for item in items)
    if items and total != values["amount_minor"]:
        raise serializers.ValidationError(
            {"items": [_("The items add up to %(total)s, not to the amount.") % {"total": total}]}
        )


class OrderInput(StrictSerializer):
    order_no = OrderNoField()
    amount = AmountField(source="amount_minor", help_text=_("Minor units."))
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
    unit_amount = ItemAmountOutput()
    amount = ItemAmountOutput()


class OrderOutput(serializers.Serializer[Any]):
    order_no = serializers.CharField()
    amount = AmountOutput()
    currency = CurrencyOutput()
    status = serializers.ChoiceField(choices=OrderStatus.choices)
    subject = serializers.CharField()
    items = ItemOutput(many=True)
    metadata = serializers.DictField(child=serializers.CharField())
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)
    cancelled_at = serializers.DateTimeField(allow_null=True)
