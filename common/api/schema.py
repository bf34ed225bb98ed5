"""Shapes that every endpoint shares in the OpenAPI document."""

from typing import Any

from drf_spectacular.utils import inline_serializer
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


class ErrorSerializer(serializers.Serializer[Any]):
    """The error envelope (design section 4)."""

    code = serializers.IntegerField()
    error = serializers.CharField()
    error_code = serializers.CharField()
    details = serializers.DictField()
    request_id = serializers.CharField()


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeat a request with the same key and it happens once: the same bytes come back.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
}


def document_idempotency(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """A postprocessing hook: every write of the API takes an Idempotency-Key (design section 6)."""
    for operations in result["paths"].values():
        for method in {"post", "put", "patch"} & operations.keys():
            operations[method].setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    return result
