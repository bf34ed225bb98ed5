"""Refunds: request fields, and response fields for the API documentation."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import (
    AmountField,
    AmountOutput,
    CreatedRangeQuery,
    CurrencyOutput,
    StrictSerializer,
    TextField,
)
from gateway.models import RefundOrigin, RefundStatus
from merchants.models import Environment


class RefundInput(StrictSerializer):
    payment_no = TextField(max_length=40)
    amount = AmountField(help_text=_("Minor units."))
    reason = TextField(max_length=255, allow_blank=True, required=False, default="")


class RefundQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=RefundStatus.choices, required=False)
    payment_no = serializers.CharField(max_length=40, required=False)


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
