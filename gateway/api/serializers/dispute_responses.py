"""Evidence and responses to disputes: request fields, and response fields for the API documentation."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import StrictSerializer
from gateway.models import ResponseKind, ResponseStatus


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
