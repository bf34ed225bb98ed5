"""What our code reads of Stripe's objects, proved to exist while it is read: in the specification, and in the classes
of the SDK that speaks the API version we ask for."""

from typing import Any

import stripe
from stripe._object_classes import get_object_class

from tests.support.stripe.spec import NotPublished, Shape, resolved, schema_of, specification

# (object or part of one, field), of everything that was read in this process.
READ: set[tuple[str, str]] = set()


class Published(dict[str, Any]):
    """A part of one of Stripe's objects. Reading a field that is not published raises `NotPublished`."""

    def __init__(self, shape: Shape, name: str, fields: Shape, sdk: type) -> None:
        super().__init__(
            {field: _published(value, f"{name}.{field}", fields.get(field, {}), _inner(sdk, field))
             for field, value in shape.items()}
        )  # fmt: skip
        self._name, self._fields, self._sdk = name, fields, sdk

    def get(self, field: str, default: Any = None) -> Any:
        self._require(field)
        return super().get(field, default)

    def __getitem__(self, field: str) -> Any:
        self._require(field)
        return super().__getitem__(field)

    def _require(self, field: str) -> None:
        if field not in self._fields:
            raise NotPublished(f"{self._name} has no {field!r} in the specification")
        if field not in _annotations(self._sdk):
            raise NotPublished(f"{self._name} has no {field!r} in stripe {stripe.VERSION}")
        READ.add((self._name, field))


def published(shape: Any, sdk: type) -> Any:
    """An answer or an event as our code gets it: its type is that of its `object`, or else an error's."""
    if not isinstance(shape, dict) or not shape:
        return shape
    name = shape.get("object", "api_errors")
    if name not in specification()["components"]["schemas"]:
        return shape  # a list
    return Published(shape, name, schema_of(name)["properties"], sdk)


def _published(value: Any, name: str, schema: Shape, sdk: type | None) -> Any:
    if isinstance(value, list):
        return [_published(each, name, schema.get("items", {}), sdk) for each in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("object"), str):
        return published(value, get_object_class("V1", value["object"]))
    fields: Shape = {}
    for branch in schema.get("anyOf", [schema]):
        fields.update(resolved(branch).get("properties", {}))
    # A map, such as metadata, has names of its users.
    return Published(value, name, fields, sdk) if fields and sdk is not None else value


def _inner(sdk: type, field: str) -> type | None:
    inner: type | None = getattr(sdk, "_inner_class_types", {}).get(field)
    return inner


def _annotations(sdk: type) -> set[str]:
    return {name for each in sdk.__mro__ for name in getattr(each, "__annotations__", {})}
