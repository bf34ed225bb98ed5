"""Payments: request fields, and response fields for the API documentation."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
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
from gateway.api.next_action import NextActionField
from gateway.api.serializers.captures import AuthorizationIncrementOutput, CaptureOutput
from gateway.api.serializers.disputes import DisputeOutput
from gateway.api.serializers.fields import (
    ClientAddressField,
    CountryField,
    LocaleField,
    PaymentMethodOptionsField,
    WebAddressField,
)
from gateway.models import AttemptStatus, CaptureMethod, PaymentStatus
from merchants.models import Environment
from orders.serializers import MAX_ITEMS, ItemInput, OrderNoField, check_items_add_up
from webhooks.api.fields import WebhookUrlField

MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS = 60, 7 * 24 * 3600


class CustomerInput(StrictSerializer):
    id = TextField(max_length=255, required=False)
    email = serializers.EmailField(max_length=254, required=False)
    name = TextField(max_length=255, required=False)
    phone = TextField(max_length=40, required=False)


# Its checked values are the fields of `PaymentCommand`.
class PaymentInput(StrictSerializer):
    order_no = OrderNoField()
    amount = AmountField(source="amount_minor", help_text=_("Minor units."))
    currency = CurrencyField()
    channel = TextField(
        max_length=30,
        allow_blank=True,
        required=False,
        default="",
        help_text=_(
            "Empty or left out: the routing rules choose, and another channel may be tried after a decline."
        ),
    )
    payment_method = TextField(
        max_length=40,
        allow_blank=True,
        required=False,
        default="",
        help_text=_(
            "As `GET /payment-methods` names it. Empty or left out: the first method of the chosen channel."
        ),
    )
    payment_method_options = PaymentMethodOptionsField(
        required=False, help_text=_("What the payment method requires or allows, such as `openid`.")
    )
    subject = TextField(max_length=255)
    body = TextField(max_length=2000, allow_blank=True, required=False, default="", multiline=True)
    callback_url = WebhookUrlField(allow_blank=True, required=False, default="")
    return_url = WebAddressField(required=False, default="")
    items = serializers.ListField(child=ItemInput(), required=False, min_length=1, max_length=MAX_ITEMS)
    customer = CustomerInput(required=False)
    client_ip = ClientAddressField(required=False, help_text=_("The address of the customer's device."))
    locale = LocaleField(required=False, help_text=_("The customer's language, such as zh-CN."))
    country = CountryField(
        required=False,
        help_text=_("The customer's country: a method that is not for it is refused, or not chosen."),
    )
    metadata = MetadataField(required=False)
    expires_in = WholeNumberField(
        source="expires_in_seconds",
        min_value=MIN_EXPIRY_SECONDS,
        max_value=MAX_EXPIRY_SECONDS,
        required=False,
        help_text=_(
            "Seconds until an unpaid payment ends. Channels may allow less: Stripe 86400 (24 hours)."
        ),
    )
    capture_method = serializers.ChoiceField(
        choices=CaptureMethod.choices, required=False, default=CaptureMethod.AUTOMATIC.value
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        check_items_add_up(attrs)
        attrs.setdefault("expires_in_seconds", settings.PAYMENT_EXPIRES_IN_SECONDS)
        return attrs


class CancelInput(StrictSerializer):
    reason = TextField(max_length=255, allow_blank=True, required=False, default="")


class PaymentQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=PaymentStatus.choices, required=False)
    order_no = serializers.CharField(max_length=64, required=False)
    channel = serializers.CharField(max_length=30, required=False)


class CardOutput(serializers.Serializer[Any]):
    brand = serializers.CharField(help_text=_("In lower case, such as `visa`."))
    last4 = serializers.CharField(allow_null=True, help_text=_("The last four digits."))
    wallet = serializers.CharField(allow_null=True, help_text=_("Such as `apple_pay`; null without one."))


class PaymentOutput(serializers.Serializer[Any]):
    payment_no = serializers.CharField()
    order_no = serializers.CharField()
    amount = AmountOutput()
    currency = CurrencyOutput()
    status = serializers.ChoiceField(choices=PaymentStatus.choices)
    channel = serializers.CharField()
    channel_account = serializers.UUIDField(
        allow_null=True, help_text=_("The merchant's own account at the channel; null: the platform's.")
    )
    sandbox = serializers.BooleanField(
        help_text=_("The simulator serves the payment in the channel's place.")
    )
    payment_method = serializers.CharField(allow_null=True)
    card = CardOutput(
        allow_null=True,
        help_text=_(
            "The card that paid. Null for other payment methods, and where the channel does not tell it; it can "
            "come after the payment has succeeded."
        ),
    )
    channel_trade_no = serializers.CharField(allow_null=True)
    payment_url = serializers.CharField(
        allow_null=True,
        help_text=_(
            "Where the customer pays: the channel's page, or our payment page, which does the next action."
        ),
    )
    next_action = NextActionField(
        allow_null=True,
        help_text=_(
            "What the customer does next, for a page or an app of your own. Null when nothing is to be done."
        ),
    )
    checkout_url = serializers.CharField(
        help_text=_("Our payment page: it links to the channel's page and shows the result.")
    )
    capture_method = serializers.ChoiceField(choices=CaptureMethod.choices)
    authorized_amount = AmountOutput(
        help_text=_("Authorized in all: the amount and its increments. 0 until the channel authorizes it.")
    )
    capturable_amount = AmountOutput(help_text=_("Held by the channel, and can be captured now."))
    captured_amount = AmountOutput(help_text=_("The total of all captures."))
    refunded_amount = AmountOutput()
    refundable_amount = AmountOutput(
        help_text=_("The amount that can be refunded now: without refunded, pending and disputed amounts.")
    )
    disputed_amount = AmountOutput(help_text=_("In open and lost disputes."))
    refund_status = serializers.ChoiceField(choices=["none", "partial", "full"])
    subject = serializers.CharField()
    body = serializers.CharField()
    callback_url = serializers.CharField(allow_null=True)
    return_url = serializers.CharField(allow_null=True)
    customer = serializers.DictField(child=serializers.CharField())
    metadata = serializers.DictField(child=serializers.CharField())
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    paid_at = serializers.DateTimeField(allow_null=True)


class PaymentAttemptOutput(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    channel = serializers.CharField()
    channel_account = serializers.UUIDField(
        allow_null=True, help_text=_("The merchant's own account at the channel; null: the platform's.")
    )
    sandbox = serializers.BooleanField()
    status = serializers.ChoiceField(choices=AttemptStatus.choices)
    channel_trade_no = serializers.CharField(allow_null=True)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    duplicate_amount = AmountOutput(
        help_text=_("Amount of a duplicate payment of this attempt; it is refunded.")
    )
    duplicate_refunded_amount = AmountOutput()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class PaymentDetailOutput(PaymentOutput):
    attempts = PaymentAttemptOutput(many=True, help_text=_("The attempts, first to last."))
    captures = CaptureOutput(many=True, help_text=_("Of an authorized amount, first to last."))
    authorization_increments = AuthorizationIncrementOutput(many=True)
    disputes = DisputeOutput(many=True)
