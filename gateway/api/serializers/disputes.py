"""Disputes: request fields, and response fields for the API documentation."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import AmountOutput, CreatedRangeQuery, CurrencyOutput
from gateway.models import DisputeReason, DisputeStage, DisputeStatus
from merchants.models import Environment


class DisputeQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=DisputeStatus.choices, required=False)
    payment_no = serializers.CharField(max_length=40, required=False)


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
