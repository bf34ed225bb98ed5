"""Requests and responses of the API of channel accounts."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from channel_accounts.models import ACCOUNT_KINDS, AccountDisabledReason, AccountStatus, CredentialCheckResult
from channel_accounts.services import DEFAULT_OVERLAP, MAX_OVERLAP
from common.api.fields import PageQuery, StrictSerializer, TextField, WholeNumberField
from merchants.models import Environment


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}, "writeOnly": True})
class CredentialsField(serializers.Field[dict[str, Any], Any, Any, Any]):
    """An object. The service checks its entries by the fields that the channel declares."""

    default_error_messages = {"type": _("This must be an object of names and text.")}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("type")
        return data


def _payment_methods() -> serializers.ListField:
    return serializers.ListField(
        child=TextField(max_length=50),
        required=False,
        max_length=50,
        help_text=_("The enabled payment methods. Empty: all that the channel offers."),
    )


class AccountInput(StrictSerializer):
    channel = TextField(max_length=30)
    display_name = TextField(max_length=100)
    credentials = CredentialsField(
        help_text=_("The fields depend on the channel (docs/CHANNELS.md). They are never shown again.")
    )
    payment_methods = _payment_methods()
    save_unchecked = serializers.BooleanField(
        default=False, help_text=_("Save the credentials also when the channel does not answer the check.")
    )


class AccountChange(StrictSerializer):
    display_name = TextField(max_length=100, required=False)
    payment_methods = _payment_methods()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError(_("Name at least one field to change."))
        return attrs


class RotateCredentialsInput(StrictSerializer):
    credentials = CredentialsField(help_text=_("All credentials, also those that stay the same."))
    overlap_seconds = WholeNumberField(
        min_value=0,
        max_value=int(MAX_OVERLAP.total_seconds()),
        default=int(DEFAULT_OVERLAP.total_seconds()),
        help_text=_("How long webhooks that are signed with the previous credentials are accepted."),
    )
    save_unchecked = serializers.BooleanField(
        default=False, help_text=_("Save the credentials also when the channel does not answer the check.")
    )


class AccountQuery(PageQuery):
    channel = TextField(max_length=30, required=False)
    status = serializers.ChoiceField(choices=AccountStatus.choices, required=False)


class AccountOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    channel = serializers.CharField()
    environment = serializers.ChoiceField(choices=Environment.choices)
    kind = serializers.ChoiceField(
        choices=ACCOUNT_KINDS, help_text=_("Only the platform's staff add connected accounts.")
    )
    display_name = serializers.CharField()
    account_no = serializers.CharField(
        allow_null=True, help_text=_("The channel's own name of the account, where a credential is one.")
    )
    payment_methods = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(choices=AccountStatus.choices)
    disabled_reason = serializers.ChoiceField(choices=AccountDisabledReason.choices, allow_null=True)
    webhook_url = serializers.CharField(help_text=_("Enter this address at the channel."))
    previous_credentials_until = serializers.DateTimeField(allow_null=True)
    last_checked_at = serializers.DateTimeField(allow_null=True)
    last_check_result = serializers.ChoiceField(choices=CredentialCheckResult.choices, allow_null=True)
    last_check_details = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
