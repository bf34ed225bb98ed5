"""Shapes that every endpoint shares in the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers


def enveloped(name: str, data: serializers.BaseSerializer[Any]) -> serializers.Serializer[Any]:
    """The success envelope around `data`, named `name` in the document."""
    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        "code": serializers.IntegerField(),
        "message": serializers.CharField(),
        "data": data,
    }
    return inline_serializer(name, fields=fields)


def page_schema(name: str, item: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        "items": item(many=True),
        "next_cursor": serializers.CharField(allow_null=True),
    }
    return inline_serializer(name, fields=fields)


@extend_schema_field({"anyOf": [{"$ref": "#/components/schemas/ErrorCode"}, {"type": "string"}]})
class ErrorCodeField(serializers.CharField):
    """Typed, and open: a client made from today's document must survive a code of tomorrow."""


class ErrorSerializer(serializers.Serializer[Any]):
    """The error envelope."""

    code = serializers.IntegerField()
    error = serializers.CharField()
    error_code = ErrorCodeField()
    details = serializers.DictField()
    request_id = serializers.CharField()
