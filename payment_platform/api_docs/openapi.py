"""Adds to the OpenAPI document what all operations have in common, so that generated clients work."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from common.money import EXPONENTS
from events import catalogue
from payment_platform.api_docs.errors import error_codes
from payment_platform.api_docs.examples import ERROR_EXAMPLES, REQUEST_EXAMPLES, RESPONSE_EXAMPLES
from payment_platform.api_docs.links import add_links

Document = dict[str, Any]
WRITES = ("post", "put", "patch", "delete")
KEYED = ("post", "put", "patch")
JSON = "application/json"

IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": (
        "Names this write. Repeated with the same key it happens once, and the same bytes come back. A key that was "
        "used with another body is refused with 422. See [Idempotency](/api/docs/idempotency)."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
    "example": "order-1001-attempt-1",
}
SIGNED: Document = {"X-API-Key": [], "X-Signature": [], "X-Timestamp": []}
SIGNED_WITH_NONCE = {**SIGNED, "X-Nonce": []}

HEADERS: dict[str, Document] = {
    "X-Request-Id": {
        "description": "Finds this request in our logs: yours when you sent one, ours otherwise.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Idempotent-Replayed": {
        "description": "`true` when the answer was given before to the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the request is worth repeating.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Location": {
        "description": "Where the outcome is read.",
        "schema": {"type": "string", "format": "uri-reference"},
    },
}
WEBHOOK_HEADERS = {
    "webhook-id": "The event's id: the same in every attempt. Leave out what you have handled.",
    "webhook-timestamp": "When this attempt was signed, in Unix seconds.",
    "webhook-signature": "`v1,` and the base64 HMAC-SHA256 of `{id}.{timestamp}.{body}`, one for each valid secret.",
}


def complete(result: Document, **_context: Any) -> Document:
    """A postprocessing hook of drf-spectacular."""
    schemas = result["components"]["schemas"]
    _add_shared_schemas(schemas)
    _close_requests(schemas)
    for path in result["paths"].values():
        for method, operation in path.items():
            _summarize(operation)
            _secure(operation, method)
            _describe_responses(operation, method)
            _add_examples(operation)
    add_links(result)
    result["components"]["headers"] = HEADERS
    result["webhooks"] = _webhooks(schemas)
    return result


def _add_shared_schemas(schemas: Document) -> None:
    schemas["Currency"] = {
        "type": "string",
        "enum": sorted(EXPONENTS),
        "description": "ISO 4217. An amount of 10000 is 100.00 USD, 10000 JPY or 10.000 KWD.",
    }
    schemas["ErrorCode"] = {
        "type": "string",
        "enum": sorted(error_codes()),
        "description": "Stable. New ones may be added. See [Errors](/api/docs/errors).",
    }


def _close_requests(schemas: Document) -> None:
    """Declares that unknown fields are refused."""
    for name, schema in schemas.items():
        if not name.endswith("Request") or schema.get("type") != "object":
            continue
        schema["additionalProperties"] = False
        if schema.get("description", "").startswith("Refuses fields"):
            del schema["description"]
        for field in schema.get("properties", {}).values():
            _describe_default(field)


def _describe_default(field: Document) -> None:
    """Moves a default into the description, because generators require fields with one or always send them."""
    default = field.pop("default", None)
    if default not in (None, "", []):
        field["description"] = f"{field.get('description', '')} Default: `{default}`.".strip()


def _summarize(operation: Document) -> None:
    """The first sentence of the view's docstring."""
    description = operation.get("description", "")
    paragraph, _blank, _rest = description.partition("\n\n")
    operation["summary"] = " ".join(paragraph.split()).split(". ")[0].rstrip(".")


def _secure(operation: Document, method: str) -> None:
    """A write needs a nonce or an Idempotency-Key; a read needs neither."""
    if method in WRITES:
        operation["security"] = [SIGNED_WITH_NONCE, SIGNED] if method in KEYED else [SIGNED_WITH_NONCE]
    else:
        operation["security"] = [SIGNED]
    if method in KEYED:
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)


def _describe_responses(operation: Document, method: str) -> None:
    error = {"schema": {"$ref": "#/components/schemas/Error"}}
    responses = operation["responses"]
    responses["4XX"] = {"description": "Refused. `error_code` says why.", "content": {JSON: {**error}}}
    responses["5XX"] = {
        "description": (
            "Failed inside us. Safe to repeat with the same Idempotency-Key. With `Idempotent-Replayed` it is a final "
            "answer (`channel_request_invalid`): do not repeat it."
        ),
        "content": {JSON: {**error}},
    }
    for status, response in responses.items():
        names = ["X-Request-Id"]
        if method in KEYED and status in ("200", "4XX", "5XX"):
            names.append("Idempotent-Replayed")
        if status in ("202", "4XX", "5XX"):
            names.append("Retry-After")
        if status == "202":
            names.append("Location")
            response["description"] = (
                "Accepted: the channel's answer is not known yet. Repeat the request with its Idempotency-Key, read "
                "`Location`, or wait for the webhook."
            )
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        response["description"] = response["description"] or "Success."


def _add_examples(operation: Document) -> None:
    name = operation["operationId"]
    if name in REQUEST_EXAMPLES:
        operation["requestBody"]["content"][JSON]["example"] = REQUEST_EXAMPLES[name]
    if name in RESPONSE_EXAMPLES:
        operation["responses"]["200"]["content"][JSON]["example"] = RESPONSE_EXAMPLES[name]
    for status, example in ERROR_EXAMPLES.items():
        operation["responses"][status]["content"][JSON]["example"] = example


def _webhooks(schemas: Document) -> Document:
    """One entry for each type of event, from its published schema in docs/events."""
    return {event_type: {"post": _webhook(event_type, schemas)} for event_type in catalogue.ALL_TYPES}


def _webhook(event_type: str, schemas: Document) -> Document:
    schema = json.loads(Path(settings.BASE_DIR, "docs", "events", f"{event_type}.schema.json").read_text())
    del schema["$schema"]
    words = event_type.replace(".", "_").split("_")
    name = f"{''.join(word.capitalize() for word in words)}Event"
    schemas[name] = {**schema, "title": name}
    return {
        "operationId": f"on_{'_'.join(words)}",
        "summary": schema["description"].split(". ")[0].rstrip("."),
        "description": f"{schema['description']} See [Events](/api/docs/events).",
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string"},
            }
            for header, text in WEBHOOK_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}},
        },
        "responses": {
            "2XX": {"description": "Received. Anything else is tried again."},
            "410": {"description": "Gone: the endpoint is disabled."},
        },
    }
