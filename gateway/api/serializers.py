"""Request fields of payments, refunds and disputes, and the response fields for the API documentation."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import (
    AmountField,
    AmountOutput,
    CreatedRangeQuery,
    CurrencyField,
    CurrencyOutput,
    MetadataField,
    StrictBooleanField,
    StrictSerializer,
    TextField,
    WholeNumberField,
)
from gateway.api.next_action import NextActionField
from gateway.models import (
    AttemptStatus,
    CaptureMethod,
    CaptureStatus,
    DisputeReason,
    DisputeStage,
    DisputeStatus,
    IncrementStatus,
    PaymentStatus,
    RefundOrigin,
    RefundStatus,
    ResponseKind,
    ResponseStatus,
)
from merchants.models import Environment
from orders.serializers import MAX_ITEMS, ItemInput, OrderNoField, check_items_add_up
from webhooks.api.fields import WebhookUrlField

MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS = 60, 7 * 24 * 3600


class WebAddressField(TextField):
    """An absolute http or https address, without user name or password, for a customer's browser."""

    default_error_messages = {"address": _("Give an absolute http:// or https:// address.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=2000, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            parts = urlsplit(text)
            port_is_fine = parts.port is None or parts.port > 0
        except ValueError:
            self.fail("address")
        plain = parts.username is None and parts.password is None and text.isprintable() and " " not in text
        if text and not (parts.scheme in ("http", "https") and parts.hostname and plain and port_is_fine):
            self.fail("address")
        return text


class PaymentMethodOptionsField(MetadataField):
    """The options of a payment method, by name."""

    default_error_messages = {
        "too_many": _("At most 20 options."),
        "name_too_long": _("Names of options hold at most 40 characters."),
    }


class ClientAddressField(serializers.IPAddressField):
    """An IPv4 or IPv6 address. Numbers are not turned into text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class CountryField(TextField):
    """The two letters of a country in ISO 3166-1."""

    def __init__(self, **kwargs: Any) -> None:
        message = _("Give the two capital letters of a country, such as CN.")
        validators = [RegexValidator(r"\A[A-Z]{2}\Z", message=message)]
        super().__init__(max_length=2, validators=validators, **kwargs)


class LocaleField(TextField):
    """A language, as in BCP 47: such as zh-CN."""

    def __init__(self, **kwargs: Any) -> None:
        message = _("Give a language such as zh-CN or en.")
        validators = [RegexValidator(r"\A[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z", message=message)]
        super().__init__(max_length=35, validators=validators, **kwargs)


class CustomerInput(StrictSerializer):
    id = TextField(max_length=255, required=False)
    email = serializers.EmailField(max_length=254, required=False)
    name = TextField(max_length=255, required=False)
    phone = TextField(max_length=40, required=False)


class PaymentInput(StrictSerializer):
    order_no = OrderNoField()
    amount = AmountField(help_text=_("Minor units."))
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
        attrs.setdefault("expires_in", settings.PAYMENT_EXPIRES_IN_SECONDS)
        return attrs


class CancelInput(StrictSerializer):
    reason = TextField(max_length=255, allow_blank=True, required=False, default="")


class CaptureInput(StrictSerializer):
    amount = AmountField(required=False, help_text=_("Minor units; all that is left when left out."))
    final_capture = StrictBooleanField(
        required=False,
        default=True,
        help_text=_("Releases what is not captured. False: it stays held, for further captures."),
    )


class IncrementAuthorizationInput(StrictSerializer):
    amount = AmountField(help_text=_("Minor units: the new total, not the difference."))


class RefundInput(StrictSerializer):
    payment_no = TextField(max_length=40)
    amount = AmountField(help_text=_("Minor units."))
    reason = TextField(max_length=255, allow_blank=True, required=False, default="")


class PaymentQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=PaymentStatus.choices, required=False)
    order_no = serializers.CharField(max_length=64, required=False)
    channel = serializers.CharField(max_length=30, required=False)


class RefundQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=RefundStatus.choices, required=False)
    payment_no = serializers.CharField(max_length=40, required=False)


class DisputeQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=DisputeStatus.choices, required=False)
    payment_no = serializers.CharField(max_length=40, required=False)


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
    surplus_amount = AmountOutput(
        help_text=_("Amount of a duplicate payment of this attempt; it is refunded.")
    )
    surplus_refunded_amount = AmountOutput()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class CaptureOutput(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    amount = AmountOutput()
    final_capture = serializers.BooleanField()
    made_at_channel = serializers.BooleanField(
        help_text=_("Not requested through this API, for example made in the channel's dashboard.")
    )
    status = serializers.ChoiceField(choices=CaptureStatus.choices)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class AuthorizationIncrementOutput(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    previous_amount = AmountOutput()
    amount = AmountOutput(help_text=_("Authorized in all, if it succeeds."))
    status = serializers.ChoiceField(choices=IncrementStatus.choices)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)


class DisputeOutput(serializers.Serializer[Any]):
    dispute_no = serializers.CharField()
    payment_no = serializers.CharField()
    order_no = serializers.CharField()
    amount = AmountOutput()
    currency = CurrencyOutput()
    reason = serializers.ChoiceField(choices=DisputeReason.choices)
    channel_reason = serializers.CharField(allow_null=True, help_text=_("The channel's code of the reason."))
    status = serializers.ChoiceField(choices=DisputeStatus.choices)
    stage = serializers.ChoiceField(choices=DisputeStage.choices)
    is_inquiry = serializers.BooleanField(
        help_text=_("An inquiry: the bank has taken no money, and a refund settles it.")
    )
    evidence_due_by = serializers.DateTimeField(
        allow_null=True, help_text=_("Answer the dispute at the channel before this time.")
    )
    channel = serializers.CharField()
    channel_account = serializers.UUIDField(
        allow_null=True, help_text=_("The merchant's own account at the channel; null: the platform's.")
    )
    channel_dispute_no = serializers.CharField()
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class EvidenceInput(StrictSerializer):
    """Text fields as in Stripe's `evidence`; an empty text removes its field."""

    texts = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=20_000),
        help_text=_("Field and text, such as product_description."),
    )


class EvidenceFileInput(StrictSerializer):
    field = serializers.CharField(max_length=50, help_text=_("The field of the evidence, such as receipt."))
    name = serializers.CharField(max_length=255)
    content = serializers.CharField(help_text=_("The file in base64: PDF, JPEG or PNG."))


class EvidenceFileOutput(serializers.Serializer[Any]):
    field = serializers.CharField()
    name = serializers.CharField()
    content_type = serializers.CharField()
    size = serializers.IntegerField()
    pages = serializers.IntegerField()
    sha256 = serializers.CharField()


class DisputeResponseOutput(serializers.Serializer[Any]):
    dispute_no = serializers.CharField()
    kind = serializers.ChoiceField(choices=ResponseKind.choices)
    status = serializers.ChoiceField(choices=ResponseStatus.choices)
    texts = serializers.DictField(child=serializers.CharField())
    files = EvidenceFileOutput(many=True)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    submitted_at = serializers.DateTimeField(allow_null=True)


class PaymentDetailOutput(PaymentOutput):
    attempts = PaymentAttemptOutput(many=True, help_text=_("The attempts, first to last."))
    captures = CaptureOutput(many=True, help_text=_("Of an authorized amount, first to last."))
    authorization_increments = AuthorizationIncrementOutput(many=True)
    disputes = DisputeOutput(many=True)


class RefundOutput(serializers.Serializer[Any]):
    refund_no = serializers.CharField()
    payment_no = serializers.CharField()
    amount = AmountOutput()
    currency = CurrencyOutput()
    status = serializers.ChoiceField(choices=RefundStatus.choices)
    origin = serializers.ChoiceField(
        choices=RefundOrigin.choices,
        help_text=_("Who requested it; channel: it was made at the channel, for example in its dashboard."),
    )
    reason = serializers.CharField()
    channel_account = serializers.UUIDField(
        allow_null=True, help_text=_("The merchant's own account at the channel; null: the platform's.")
    )
    channel_refund_no = serializers.CharField(allow_null=True)
    failure_code = serializers.CharField(allow_null=True)
    failure_message = serializers.CharField(allow_null=True)
    environment = serializers.ChoiceField(choices=Environment.choices)
    previous_status = serializers.ChoiceField(
        choices=["succeeded", "failed"],
        allow_null=True,
        help_text=_("The outcome before the channel reported the other one."),
    )
    outcome_changed_at = serializers.DateTimeField(
        allow_null=True, help_text=_("When the channel reported another outcome than the settled one.")
    )
    late_refunded_amount = AmountOutput(
        help_text=_(
            "Of a failed refund: the amount that the channel refunded after all, as far as it was still refundable."
        )
    )
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True)
