"""Reads the parameters of a request with their published types, and refuses others as Stripe does
(docs.stripe.com/error-codes: parameter_unknown, parameter_missing, parameter_invalid_integer, …)."""

import itertools
import re
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from tests.support.stripe.messages import InvalidParameter
from tests.support.stripe.specification import JsonObject, PublishedOperation, resolve_reference

MAX_ENTRIES, MAX_NAME, MAX_VALUE = 50, 40, 500


def parse_form(pairs: list[tuple[str, str]]) -> JsonObject:
    """Returns the pairs of a form as nested dictionaries: `a[b][0]=c` as `{"a": {"b": {"0": "c"}}}`."""
    params: JsonObject = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name)
        parent = params
        for part, following in itertools.pairwise([first, *rest, ""]):
            if following == "":
                parent[part] = value
            else:
                parent = parent.setdefault(part, {})
    return params


def parse_multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    """Returns the parts of a form with files (RFC 7578). A file is its bytes as Latin-1."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    pairs = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        pairs.append((str(name), content.decode("latin-1")))
    return pairs


def read_parameters(operation: PublishedOperation, sent: JsonObject) -> JsonObject:
    """Returns the parameters with their published types. Raises `InvalidParameter`."""
    params: JsonObject = _read_value(sent, operation.parameters(), "")
    for name in ("metadata", "payment_intent_data"):
        found = params.get(name) or {}
        _require_valid_metadata(found.get("metadata") if name != "metadata" else found)
    return params


def _read_value(sent: Any, schema: JsonObject, name: str) -> Any:
    schema = resolve_reference(schema)
    if "anyOf" in schema:
        return _read_any(sent, schema["anyOf"], name)
    match schema.get("type"):
        case "object":
            return _read_object(sent, schema, name)
        case "array":
            if not isinstance(sent, dict):
                raise InvalidParameter("Invalid array", param=name)
            return [_read_value(sent[at], schema["items"], f"{name}[{at}]") for at in sorted(sent, key=int)]
    if isinstance(sent, dict):
        raise InvalidParameter(f"Invalid {schema.get('type')}: {sent}", param=name)
    return _read_text(sent, schema, name)


def _read_any(sent: Any, schemas: list[JsonObject], name: str) -> Any:
    first_error: InvalidParameter | None = None
    for schema in schemas:
        try:
            return _read_value(sent, schema, name)
        except InvalidParameter as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _read_object(sent: Any, schema: JsonObject, name: str) -> JsonObject:
    if not isinstance(sent, dict):
        raise InvalidParameter("Invalid object", param=name)
    known, others = schema.get("properties", {}), schema.get("additionalProperties", False)
    read: JsonObject = {}
    for field, value in sent.items():
        path = f"{name}[{field}]" if name else field
        if field in known:
            read[field] = _read_value(value, known[field], path)
        elif isinstance(others, dict):
            read[field] = _read_value(value, others, path)
        else:
            raise InvalidParameter(
                f"Received unknown parameter: {path}", code="parameter_unknown", param=path
            )
    for field in schema.get("required", []):
        if field not in read:
            path = f"{name}[{field}]" if name else field
            raise InvalidParameter(f"Missing required param: {path}.", code="parameter_missing", param=path)
    return read


def _read_text(sent: str, schema: JsonObject, name: str) -> Any:
    allowed = schema.get("enum")
    if allowed is not None and sent not in allowed:
        raise InvalidParameter(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)
    match schema.get("type"):
        case "integer":
            if not re.fullmatch(r"-?\d+", sent):
                raise InvalidParameter(
                    f"Invalid integer: {sent}", code="parameter_invalid_integer", param=name
                )
            return int(sent)
        case "boolean":
            if sent not in ("true", "false"):
                raise InvalidParameter(f"Invalid boolean: {sent}", param=name)
            return sent == "true"
        case "number":
            return float(sent)
    if sent == "" and allowed is None and not name.startswith("metadata["):
        raise InvalidParameter("You passed an empty string.", code="parameter_invalid_empty", param=name)
    if len(sent) > schema.get("maxLength", len(sent)):
        raise InvalidParameter(
            f"Invalid string: must be at most {schema['maxLength']} characters", param=name
        )
    return sent


def _require_valid_metadata(metadata: Any) -> None:
    """docs.stripe.com/api/metadata"""
    entries = metadata or {}
    if len(entries) > MAX_ENTRIES:
        raise InvalidParameter(f"Metadata can have at most {MAX_ENTRIES} keys.", param="metadata")
    for name, value in entries.items():
        if not 0 < len(name) <= MAX_NAME or "[" in name or "]" in name:
            raise InvalidParameter(
                f"Metadata keys have up to {MAX_NAME} characters, no brackets.", param="metadata"
            )
        if len(value) > MAX_VALUE:
            raise InvalidParameter(f"Metadata values have up to {MAX_VALUE} characters.", param="metadata")
