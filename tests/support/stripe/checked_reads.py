"""Checks each field of Stripe's objects that our code reads: it must exist in the published specification, and in the
classes of the SDK, which is of the API version that we request."""

from typing import Any

import stripe
from stripe._object_classes import get_object_class

from tests.support.stripe.specification import (
    JsonObject,
    NotPublished,
    get_schema,
    resolve_reference,
    specification,
)

# (object or part of it, field) for each field that was read in this process.
FIELDS_READ: set[tuple[str, str]] = set()


class CheckedObject(dict[str, Any]):
    """An object of Stripe or a part of it. Reading a field that is not published raises `NotPublished`."""

    def __init__(self, shape: JsonObject, name: str, fields: JsonObject, sdk: type) -> None:
        super().__init__(
            {field: _check_part(value, f"{name}.{field}", fields.get(field, {}), _get_inner_class(sdk, field))
             for field, value in shape.items()}
        )  # fmt: skip
        self._name, self._fields, self._sdk = name, fields, sdk

    def get(self, field: str, default: Any = None) -> Any:
        self._require_published(field)
        return super().get(field, default)

    def __getitem__(self, field: str) -> Any:
        self._require_published(field)
        return super().__getitem__(field)

    def _require_published(self, field: str) -> None:
        if field not in self._fields:
            raise NotPublished(f"{self._name} has no {field!r} in the specification")
        if field not in _get_field_names(self._sdk):
            raise NotPublished(f"{self._name} has no {field!r} in stripe {stripe.VERSION}")
        FIELDS_READ.add((self._name, field))


def check_reads(value: Any, sdk: type) -> Any:
    """Wraps an answer or an event. Its type is that of its field `object`; without one it is an error."""
    if not isinstance(value, dict) or not value:
        return value
    name = value.get("object", "api_errors")
    if name not in specification()["components"]["schemas"]:
        return value  # a list
    return CheckedObject(value, name, get_schema(name)["properties"], sdk)


def _check_part(value: Any, name: str, schema: JsonObject, sdk: type | None) -> Any:
    if isinstance(value, list):
        return [_check_part(each, name, schema.get("items", {}), sdk) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("object"), str):
        return check_reads(value, get_object_class("V1", value["object"]))
    fields: JsonObject = {}
    for branch in schema.get("anyOf", [schema]):
        fields.update(resolve_reference(branch).get("properties", {}))
    # A map, such as metadata, has names of its users.
    return CheckedObject(value, name, fields, sdk) if fields and sdk is not None else value


def _get_inner_class(sdk: type, field: str) -> type | None:
    inner: type | None = getattr(sdk, "_inner_class_types", {}).get(field)
    return inner


def _get_field_names(sdk: type) -> set[str]:
    return {name for each in sdk.__mro__ for name in getattr(each, "__annotations__", {})}
