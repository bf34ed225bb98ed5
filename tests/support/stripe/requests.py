"""Reads a request as Stripe's specification describes it, and refuses the rest as Stripe does
(docs.stripe.com/error-codes: parameter_unknown, parameter_missing, parameter_invalid_integer, …)."""

import itertools
import re
from dataclasses import dataclass
from typing import Any

from tests.support.stripe.spec import Operation, Shape, resolved

# docs.stripe.com/api/metadata
MAX_ENTRIES, MAX_NAME, MAX_VALUE = 50, 40, 500


class Refusal(Exception):
    """Stripe's answer when it does not do what was asked. `is_kept`: an idempotency key keeps it, because the work had
    begun (docs.stripe.com/api/idempotent_requests)."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        param: str = "",
        kind: str = "invalid_request_error",
        is_kept: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message)
        error = {"type": kind, "message": message, "code": code, "param": param, **more}
        self.status, self.is_kept = status, is_kept
        self.body: Shape = {"error": {name: value for name, value in error.items() if value}}


class Invalid(Refusal):
    """The request itself is wrong: nothing has begun, and no key remembers it."""

    def __init__(self, message: str, *, code: str = "", param: str = "") -> None:
        super().__init__(400, message, code=code, param=param, is_kept=False)


@dataclass
class Request:
    method: str
    path: str
    params: Shape  # as sent: nested dictionaries of text
    key: str | None
    authorization: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def tree(pairs: list[tuple[str, str]]) -> Shape:
    """`a[b][0]=c` as nested dictionaries."""
    made: Shape = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name)
        here = made
        for part, following in itertools.pairwise([first, *rest, ""]):
            if following == "":
                here[part] = value
            else:
                here = here.setdefault(part, {})
    return made


def read(operation: Operation, sent: Shape) -> Shape:
    """The parameters with their published types. Raises `Invalid`."""
    read_as: Shape = _read(sent, operation.parameters(), "")
    for name in ("metadata", "payment_intent_data"):
        found = read_as.get(name) or {}
        _require_metadata(found.get("metadata") if name != "metadata" else found)
    return read_as


def _read(sent: Any, schema: Shape, name: str) -> Any:
    schema = resolved(schema)
    if "anyOf" in schema:
        return _read_any(sent, schema["anyOf"], name)
    match schema.get("type"):
        case "object":
            return _read_object(sent, schema, name)
        case "array":
            if not isinstance(sent, dict):
                raise Invalid("Invalid array", param=name)
            return [_read(sent[at], schema["items"], f"{name}[{at}]") for at in sorted(sent, key=int)]
    if isinstance(sent, dict):
        raise Invalid(f"Invalid {schema.get('type')}: {sent}", param=name)
    return _read_text(sent, schema, name)


def _read_any(sent: Any, schemas: list[Shape], name: str) -> Any:
    refused: Invalid | None = None
    for schema in schemas:
        try:
            return _read(sent, schema, name)
        except Invalid as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _read_object(sent: Any, schema: Shape, name: str) -> Shape:
    if not isinstance(sent, dict):
        raise Invalid("Invalid object", param=name)
    known, others = schema.get("properties", {}), schema.get("additionalProperties", False)
    made: Shape = {}
    for field, value in sent.items():
        path = f"{name}[{field}]" if name else field
        if field in known:
            made[field] = _read(value, known[field], path)
        elif isinstance(others, dict):
            made[field] = _read(value, others, path)
        else:
            raise Invalid(f"Received unknown parameter: {path}", code="parameter_unknown", param=path)
    for field in schema.get("required", []):
        if field not in made:
            path = f"{name}[{field}]" if name else field
            raise Invalid(f"Missing required param: {path}.", code="parameter_missing", param=path)
    return made


def _read_text(sent: str, schema: Shape, name: str) -> Any:
    allowed = schema.get("enum")
    if allowed is not None and sent not in allowed:
        raise Invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
    match schema.get("type"):
        case "integer":
            if not re.fullmatch(r"-?\d+", sent):
                raise Invalid(f"Invalid integer: {sent}", code="parameter_invalid_integer", param=name)
            return int(sent)
        case "boolean":
            if sent not in ("true", "false"):
                raise Invalid(f"Invalid boolean: {sent}", param=name)
            return sent == "true"
        case "number":
            return float(sent)
    if sent == "" and allowed is None and not name.startswith("metadata["):
        raise Invalid("You passed an empty string.", code="parameter_invalid_empty", param=name)
    if len(sent) > schema.get("maxLength", len(sent)):
        raise Invalid(f"Invalid string: must be at most {schema['maxLength']} characters", param=name)
    return sent


def _require_metadata(metadata: Any) -> None:
    entries = metadata or {}
    if len(entries) > MAX_ENTRIES:
        raise Invalid(f"Metadata can have at most {MAX_ENTRIES} keys.", param="metadata")
    for name, value in entries.items():
        if not 0 < len(name) <= MAX_NAME or "[" in name or "]" in name:
            raise Invalid(f"Metadata keys have up to {MAX_NAME} characters, no brackets.", param="metadata")
        if len(value) > MAX_VALUE:
            raise Invalid(f"Metadata values have up to {MAX_VALUE} characters.", param="metadata")
