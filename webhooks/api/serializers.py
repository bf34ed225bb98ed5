"""Requests and responses of the webhook API."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import CreatedRangeQuery, InstantField, PageQuery, StrictSerializer, TextField
from events import catalogue
from events.api.serializers import EVENT_TYPES
from merchants.models import Environment
from webhooks.api.fields import WebhookUrlField
from webhooks.models import AttemptOutcome, DeliveryStatus, DisabledReason, EndpointKind, EndpointStatus

SHOWN_STATUSES = [
    (status.value, status.label) for status in EndpointStatus if status != EndpointStatus.DELETED
]


def _event_types() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.ChoiceField(choices=catalogue.SUBSCRIBABLE_TYPES),
        required=False,
        max_length=len(catalogue.SUBSCRIBABLE_TYPES),
        help_text=_("Empty or left out: all types, including future ones."),
    )


class EndpointInput(StrictSerializer):
    url = WebhookUrlField()
    description = TextField(max_length=255, allow_blank=True, required=False, default="")
    event_types = _event_types()


class EndpointChange(StrictSerializer):
    url = WebhookUrlField(required=False)
    description = TextField(max_length=255, allow_blank=True, required=False)
    event_types = _event_types()
    status = serializers.ChoiceField(choices=SHOWN_STATUSES, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(_("Name at least one field to change."))
        return attrs


class ResendInput(StrictSerializer):
    created_from = InstantField(required=False)
    created_to = InstantField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name, other in (("created_from", "created_to"), ("created_to", "created_from")):
            if other in attrs and name not in attrs:
                raise serializers.ValidationError(
                    {name: [_("Give both times, or neither to resend all failed deliveries.")]}
                )
        if attrs and attrs["created_from"] >= attrs["created_to"]:
            raise serializers.ValidationError({"created_to": [_("This must be later than created_from.")]})
        return attrs


class DeliveryQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=DeliveryStatus.choices, required=False)
    endpoint_id = serializers.UUIDField(required=False)
    event_id = serializers.UUIDField(required=False)


class EndpointQuery(PageQuery):
    pass


class EndpointOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=EndpointKind.choices)
    url = serializers.CharField(allow_null=True)
    description = serializers.CharField(allow_blank=True)
    event_types = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(choices=SHOWN_STATUSES)
    disabled_reason = serializers.ChoiceField(choices=DisabledReason.choices, allow_null=True)
    disabled_at = serializers.DateTimeField(allow_null=True)
    failing_since = serializers.DateTimeField(allow_null=True)
    previous_secret_until = serializers.DateTimeField(allow_null=True)
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class EndpointSecretOutput(EndpointOutput):
    secret = serializers.CharField(allow_null=True, help_text=_("Shown once; null in a replay."))
    note = serializers.CharField()


class DeletedOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    deleted = serializers.BooleanField()


class DeliveryOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    event_id = serializers.UUIDField()
    event_type = serializers.ChoiceField(choices=EVENT_TYPES)
    subject = serializers.CharField()
    endpoint_id = serializers.UUIDField()
    url = serializers.CharField()
    status = serializers.ChoiceField(choices=DeliveryStatus.choices)
    attempt_count = serializers.IntegerField()
    last_outcome = serializers.ChoiceField(choices=AttemptOutcome.choices, allow_null=True)
    last_status_code = serializers.IntegerField(allow_null=True)
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    delivered_at = serializers.DateTimeField(allow_null=True)
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()


class DeliveryAttemptOutput(serializers.Serializer[Any]):
    url = serializers.CharField()
    outcome = serializers.ChoiceField(choices=AttemptOutcome.choices)
    status_code = serializers.IntegerField(allow_null=True)
    response_headers = serializers.DictField(child=serializers.CharField())
    response_body = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_null=True)
    started_at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField(allow_null=True)


class DeliveryWithAttemptsOutput(DeliveryOutput):
    attempts = DeliveryAttemptOutput(many=True)


class ResentOutput(serializers.Serializer[Any]):
    resent = serializers.IntegerField()
    more = serializers.BooleanField()
