"""Captures and increments of an authorized amount: request fields, and response fields for the API docs."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import AmountField, AmountOutput, StrictBooleanField, StrictSerializer
from gateway.models import CaptureStatus, IncrementStatus


class CaptureInput(StrictSerializer):
    amount = AmountField(required=False, help_text=_("Minor units; all that is left when left out."))
    final_capture = StrictBooleanField(
        required=False,
        default=True,
        help_text=_("Releases what is not captured. False: it stays held, for further captures."),
    )


class IncrementAuthorizationInput(StrictSerializer):
    amount = AmountField(help_text=_("Minor units: the new total, not the difference."))


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
