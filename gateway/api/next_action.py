"""The schema of `next_action`: a union by its `type`."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from channels.base import ActionType


def _type_field(action_type: ActionType) -> serializers.Field[Any, Any, Any, Any]:
    @extend_schema_field({"type": "string", "const": action_type.value})
    class TypeField(serializers.CharField):
        pass

    return TypeField()


class RedirectActionOutput(serializers.Serializer[Any]):
    type = _type_field(ActionType.REDIRECT)
    url = serializers.CharField(help_text=_("The page of the channel."))


class QrCodeActionOutput(serializers.Serializer[Any]):
    type = _type_field(ActionType.QR_CODE)
    content = serializers.CharField(
        help_text=_("Draw it as a QR code, which the customer scans with the channel's app.")
    )
    expires_at = serializers.DateTimeField(allow_null=True)


class SdkActionOutput(serializers.Serializer[Any]):
    type = _type_field(ActionType.SDK)
    params = serializers.DictField(
        child=serializers.CharField(),
        help_text=_("Pass them to the channel's own client, such as WeixinJSBridge."),
    )


class FormActionOutput(serializers.Serializer[Any]):
    type = _type_field(ActionType.FORM)
    url = serializers.CharField(help_text=_("Post the fields here, from the customer's browser."))
    fields = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]  # the name in the API


NEXT_ACTION = PolymorphicProxySerializer(
    component_name="NextAction",
    serializers={
        ActionType.REDIRECT.value: RedirectActionOutput,
        ActionType.QR_CODE.value: QrCodeActionOutput,
        ActionType.SDK.value: SdkActionOutput,
        ActionType.FORM.value: FormActionOutput,
    },
    resource_type_field_name="type",
)


@extend_schema_field(NEXT_ACTION)
class NextActionField(serializers.DictField):
    """What the customer does next to pay."""
