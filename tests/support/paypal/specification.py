"""PayPal's published API as its own SDK describes it, made strict: every operation with its parameters, its request
and its answer.

The SDK (package `paypal-server-sdk`) is generated from PayPal's OpenAPI specification
(github.com/paypal/paypal-rest-api-specifications). Its source is parsed, and none of it runs: a model says its fields,
which of them are required, and their types; a controller says method, path, headers and models. An object here has
every required field, and no field that is not published.
"""

import ast
import functools
import importlib.metadata
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs

JsonObject = dict[str, Any]
PACKAGE = "paypal-server-sdk"
CACHE = Path(__file__).parents[3] / ".pytest_cache"
_FIELD = re.compile(r"^ {8}(\w+) \(([\w\[\], |]+)\):", re.MULTILINE)
_PRIMITIVES = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "Any": {},
    "object": {},
    "datetime": {"type": "string"},
}
# The error of every operation (controllers/*.py: `local_error(…, ErrorException)`).
ERROR = "ErrorException"


class NotPublished(AssertionError):
    """PayPal's API does not have it."""


@dataclass(frozen=True, slots=True)
class PublishedOperation:
    method: str
    template: str
    body: str  # the model of the request, empty when it has none
    answer: str  # the model of the answer
    headers: frozenset[str]
    query: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


@functools.cache
def specification() -> JsonObject:
    """Returns operations and schemas. Parsing 370 files takes seconds, so the result is cached on disk."""
    cached = CACHE / f"paypal-{importlib.metadata.version(PACKAGE)}.json"
    if not cached.exists():
        CACHE.mkdir(exist_ok=True)
        written = cached.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(_read_package()))
        written.replace(cached)
    document: JsonObject = json.loads(cached.read_text())
    return document


def _read_package() -> JsonObject:
    files = [
        Path(str(each.locate()))
        for each in importlib.metadata.distribution(PACKAGE).files or []
        if each.suffix == ".py" and each.parent.name in ("models", "controllers", "exceptions")
    ]
    schemas: JsonObject = {}
    operations: list[JsonObject] = []
    for file in files:
        text = file.read_text()
        if file.parent.name == "controllers":
            operations += _read_operations(text)
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef):
                schemas[node.name] = _read_model(node)
    details = {"type": "array", "items": {"$ref": "#/$defs/ErrorDetails"}}
    links = {"type": "array", "items": {"$ref": "#/$defs/LinkDescription"}}
    text_field = {"type": "string"}
    # Exceptions list their fields in code alone (exceptions/error_exception.py).
    schemas[ERROR] = _to_schema(
        {
            "name": text_field,
            "message": text_field,
            "debug_id": text_field,
            "details": details,
            "links": links,
        },
        ["name", "message", "debug_id"],
    )
    return {"operations": operations, "schemas": schemas}


def _to_schema(fields: Mapping[str, Any], required: list[str]) -> JsonObject:
    return {
        "type": "object",
        "properties": dict(fields),
        "required": required,
        "additionalProperties": False,
    }


def _read_model(node: ast.ClassDef) -> JsonObject:
    constants = {
        target.id: ast.literal_eval(each.value)
        for each in node.body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    if "_names" not in constants:
        return {"enum": [value for name, value in constants.items() if not name.startswith("_")]}
    types = dict(_FIELD.findall(ast.get_docstring(node, clean=False) or ""))
    names, optional = constants["_names"], constants.get("_optionals", [])
    return _to_schema(
        {published: _convert_type(types.get(name, "Any")) for name, published in names.items()},
        [published for name, published in names.items() if name not in optional],
    )


def _convert_type(text: str) -> JsonObject:
    if text.startswith("List["):
        return {"type": "array", "items": _convert_type(text[5:-1])}
    return dict(_PRIMITIVES[text]) if text in _PRIMITIVES else {"$ref": f"#/$defs/{text}"}


def _read_operations(text: str) -> list[JsonObject]:
    """One for each `RequestBuilder()` of a controller."""
    operations = []
    for method in re.split(r"\n    def ", text)[1:]:
        path = re.search(r'\.path\("([^"]+)"\)', method)
        if path is None:
            continue
        answer = re.search(r"\.deserialize_into\((\w+)\.from_dictionary\)", method)
        body = re.search(r"^ +body -- (\w+) --", method, re.MULTILINE)
        verb = re.search(r"HttpMethodEnum\.(\w+)", method)
        assert verb is not None
        operations.append(
            {
                "method": verb[1],
                "template": path[1],
                "body": body[1] if body else "",
                "answer": answer[1] if answer else "",
                "headers": re.findall(r'\.header_param\(Parameter\(\)\s*\.key\("([^"]+)"\)', method),
                "query": re.findall(r'\.query_param\(Parameter\(\)\s*\.key\("([^"]+)"\)', method),
            }
        )
    return operations


@functools.cache
def _operations() -> tuple[PublishedOperation, ...]:
    return tuple(
        PublishedOperation(
            **{
                **each,
                "headers": frozenset(name.lower() for name in each["headers"]),
                "query": frozenset(each["query"]),
            }
        )
        for each in specification()["operations"]
    )


def find_operation(method: str, path: str) -> PublishedOperation:
    """Raises `NotPublished`."""
    for operation in _operations():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.template))
        if operation.method == method and re.fullmatch(pattern, path):
            return operation
    raise NotPublished(f"PayPal's API has no {method} {path}")


@functools.cache
def _validator(name: str) -> Any:
    schemas = specification()["schemas"]
    needed: JsonObject = {}
    left = [name]
    while left:
        each = left.pop()
        if each not in needed:
            if each not in schemas:
                raise NotPublished(f"PayPal's API has no model {each!r}")
            needed[each] = schemas[each]
            left += re.findall(r'#/\$defs/(\w+)"', json.dumps(needed[each]))
    return jsonschema_rs.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": needed})


def find_faults(name: str, value: Any) -> list[str]:
    """Returns what is wrong with a value that should be of the published model."""
    return [
        f"{'.'.join(map(str, each.instance_path))}: {each.message}"[:300]
        for each in _validator(name).iter_errors(value)
    ]


def require_valid(name: str, value: Any) -> None:
    """Raises `NotPublished` unless the value is of the published model."""
    if faults := find_faults(name, value):
        raise NotPublished(f"not as PayPal publishes {name}:\n" + "\n".join(faults))
