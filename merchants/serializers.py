"""Requests and responses of the API of merchants and API keys."""

import ipaddress
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import InstantField, StrictSerializer, TextField, WholeNumberField
from merchants.models import Environment, KeyState, MerchantStatus
from merchants.scopes import ALL_SCOPES
from merchants.services.api_keys import DEFAULT_OVERLAP, MAX_OVERLAP


class NetworkField(TextField):
    """An IP address or a CIDR network, v4 or v6, converted to its canonical form."""

    default_error_messages = {"network": _("This is neither an IP address nor a CIDR network.")}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            self.fail("network")
        if "%" in text:  # the name of an interface of one machine
            self.fail("network")
        return str(network)


class IssueKeySerializer(StrictSerializer):
    label = TextField(max_length=100, allow_blank=True, default="")  # type: ignore[assignment]
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=ALL_SCOPES),
        required=False,
        min_length=1,
        max_length=len(ALL_SCOPES),
        help_text=_("Default: the scopes of the requesting key. A key cannot grant more than it has."),
    )
    allowed_ips = serializers.ListField(
        child=NetworkField(max_length=50),
        default=list,
        max_length=50,
        help_text=_("CIDR networks. Empty: those of the requesting key, which may be unrestricted."),
    )
    expires_at = InstantField(
        required=False,
        allow_null=True,
        default=None,
        help_text=_("Left out: when the requesting key expires."),
    )


class RotateKeySerializer(StrictSerializer):
    overlap_seconds = WholeNumberField(
        min_value=0,
        max_value=int(MAX_OVERLAP.total_seconds()),
        default=int(DEFAULT_OVERLAP.total_seconds()),
        help_text=_("How long the old key stays valid together with the new one."),
    )


class MerchantSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.EmailField()
    status = serializers.ChoiceField(choices=MerchantStatus.choices)
    environment = serializers.ChoiceField(choices=Environment.choices)
    key_id = serializers.UUIDField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ALL_SCOPES))
    created_at = serializers.DateTimeField()


class ApiKeySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    environment = serializers.ChoiceField(choices=Environment.choices)
    public_id = serializers.CharField()
    hint = serializers.CharField()
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    status = serializers.ChoiceField(choices=KeyState.choices)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=ALL_SCOPES))
    allowed_ips = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    retires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    replaced_by = serializers.UUIDField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)


class NewApiKeySerializer(ApiKeySerializer):
    key = serializers.CharField(allow_null=True, help_text=_("Shown once; null in a replay."))
    secret = serializers.CharField(allow_null=True, help_text=_("Shown once; null in a replay."))
    note = serializers.CharField()


class RotatedApiKeySerializer(NewApiKeySerializer):
    replaces = ApiKeySerializer()
