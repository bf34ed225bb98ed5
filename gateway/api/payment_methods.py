"""Payment methods over HTTP."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from channels.base import ActionType
from common.api.envelope import success
from common.api.fields import AmountOutput, CurrencyField, StrictSerializer
from common.api.http import respond, validated_query
from common.api.schema import ErrorSerializer, enveloped
from common.money import MAX_AMOUNT_MINOR
from gateway.api.serializers.fields import CountryField
from gateway.services.payment_methods import OfferedMethod, RefusedMethod, list_payment_methods
from merchants.principal import principal_of
from merchants.scopes import PAYMENTS_READ


class PaymentMethodQuery(StrictSerializer):
    amount = serializers.IntegerField(
        min_value=1, max_value=MAX_AMOUNT_MINOR, help_text=gettext_lazy("Minor units.")
    )
    currency = CurrencyField()
    country = CountryField(
        required=False, help_text=gettext_lazy("The customer's country; left out: unknown.")
    )


class PaymentMethodOutput(serializers.Serializer[Any]):
    payment_method = serializers.CharField()
    channel = serializers.CharField()
    sandbox = serializers.BooleanField()
    next_action = serializers.ChoiceField(choices=[action.value for action in ActionType])
    min_amount = AmountOutput(allow_null=True)
    max_amount = AmountOutput(allow_null=True)
    multiple_of = serializers.IntegerField(
        help_text=gettext_lazy("Amounts are multiples of so many minor units.")
    )
    max_expires_in = serializers.IntegerField(
        allow_null=True, help_text=gettext_lazy("The largest `expires_in`.")
    )
    can_capture_manually = serializers.BooleanField()
    required_fields = serializers.ListField(
        child=serializers.CharField(),
        help_text=gettext_lazy("Fields that `POST /payments` must have for it, such as `client_ip`."),
    )
    required_options = serializers.ListField(child=serializers.CharField())
    optional_options = serializers.ListField(child=serializers.CharField())


class RefusedMethodOutput(serializers.Serializer[Any]):
    payment_method = serializers.CharField()
    channel = serializers.CharField()
    error_code = serializers.CharField(help_text=gettext_lazy("What `POST /payments` would answer."))
    details = serializers.DictField()


PAYMENT_METHODS = enveloped(
    "PaymentMethodsAnswer",
    inline_serializer(
        "PaymentMethodList",
        fields={
            "items": PaymentMethodOutput(many=True),
            "refused": RefusedMethodOutput(
                many=True, help_text=gettext_lazy("Methods that cannot take such a payment, with the reason.")
            ),
        },
    ),
)


class PaymentMethodListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": PAYMENTS_READ}

    @extend_schema(
        operation_id="payment_methods_list",
        parameters=[PaymentMethodQuery],
        responses={200: PAYMENT_METHODS, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """The payment methods that can be offered now for such a payment, those that routing prefers first.

        Pass `payment_method` and `channel` of the one that the customer chooses to `POST /payments`.
        """
        query = validated_query(PaymentMethodQuery, request)
        methods = list_payment_methods(
            principal=principal_of(request),
            amount_minor=query["amount"],
            currency=query["currency"],
            country=query.get("country", ""),
        )
        body = {
            "items": [_describe(each) for each in methods.offered],
            "refused": [_describe_refusal(each) for each in methods.refused],
        }
        return respond(success(body, message=_("Success")))


def _describe(offered: OfferedMethod) -> dict[str, Any]:
    method = offered.method
    limits = method.currencies.get(offered.currency)
    return {
        "payment_method": method.name,
        "channel": offered.channel,
        "sandbox": offered.sandbox,
        "next_action": method.action.value,
        "min_amount": limits.min_minor if limits else None,
        "max_amount": limits.max_minor if limits else None,
        "multiple_of": offered.multiple_of,
        "max_expires_in": method.max_seconds_to_pay,
        "can_capture_manually": method.can_capture_manually,
        "required_fields": [field.value for field in method.required_fields],
        "required_options": list(method.required_options),
        "optional_options": list(method.optional_options),
    }


def _describe_refusal(refused: RefusedMethod) -> dict[str, Any]:
    return {
        "payment_method": refused.method.name,
        "channel": refused.channel,
        "error_code": refused.error.error_code,
        "details": refused.error.details,
    }
