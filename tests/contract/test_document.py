"""The OpenAPI document is complete and consistent, and equals the rules that the API enforces."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from rest_framework.exceptions import ValidationError

from common.money import EXPONENTS
from events import catalogue
from orders.serializers import OrderNoField
from tests.contract.document import document, node_tool, run


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return document()


def operations(api: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in api["paths"].values():
        yield from path.items()


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from schemas_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas_in(inner)


def valid(api: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator({**schema, "components": api["components"]}).validate(value)


def test_redocly_finds_nothing(api: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(api))
    (tmp_path / "redocly.yaml").write_text("extends: [recommended-strict]\n")
    run(*node_tool("redocly"), "lint", "openapi.json", "--max-problems", "1000", cwd=tmp_path)


def test_every_default_and_example_is_valid(api: dict[str, Any]) -> None:
    """With a default of "" and a minLength of 1, a generated client could not pay."""
    found = 0
    for schema in schemas_in(api):
        if "default" in schema and "type" in schema:  # bodies have theirs in descriptions
            valid(api, schema, schema["default"])
            found += 1
        if "example" in schema and "schema" in schema:
            valid(api, schema["schema"], schema["example"])
            found += 1
    assert found > 20
    bodies = [schema for name, schema in api["components"]["schemas"].items() if name.endswith("Request")]
    assert not [
        field for schema in bodies for field in schema.get("properties", {}).values() if "default" in field
    ]


def test_every_operation_documents_its_responses(api: dict[str, Any]) -> None:
    for method, operation in operations(api):
        assert operation["summary"], operation
        assert operation["tags"], operation
        assert {"4XX", "5XX"} <= operation["responses"].keys(), operation["operationId"]
        for status, response in operation["responses"].items():
            headers = response["headers"].keys()
            assert "X-Request-Id" in headers
            assert ("Idempotent-Replayed" in headers) == (
                method != "get" and method != "delete" and status in ("200", "4XX", "5XX")
            )
            assert {"Retry-After", "Location"} <= headers or status != "202"


def test_a_nonce_is_documented_where_it_is_required(api: dict[str, Any]) -> None:
    for method, operation in operations(api):
        with_nonce = ["X-Nonce" in alternative for alternative in operation["security"]]
        assert with_nonce == {"get": [False], "delete": [True]}.get(method, [True, False]), operation


def test_amounts_are_64_bits_wide(api: dict[str, Any]) -> None:
    amounts = [
        (name, schema)
        for component in api["components"]["schemas"].values()
        for name, schema in component.get("properties", {}).items()
        if name.endswith("amount") and "format" not in component.get("title", "")
    ]
    assert len(amounts) > 15
    for name, schema in amounts:
        if "const" not in schema and not str(schema.get("title", "")).endswith("Event"):
            assert schema.get("format") == "int64", (name, schema)


def test_closed_sets_are_enums(api: dict[str, Any]) -> None:
    schemas = api["components"]["schemas"]
    assert schemas["Currency"]["enum"] == sorted(EXPONENTS)
    for name in ("PaymentOutput", "RefundOutput", "OrderOutput"):
        properties = schemas[name]["properties"]
        assert properties["currency"] == {"$ref": "#/components/schemas/Currency"}
        assert properties["environment"] == {"$ref": "#/components/schemas/Environment"}
        assert schemas[properties["status"]["$ref"].rpartition("/")[2]]["enum"]
    assert schemas["Error"]["properties"]["error_code"]["anyOf"][0]["$ref"].endswith("ErrorCode")
    assert not [name for name in schemas if re.search(r"[0-9a-f]{3}Enum$", name)]  # two enums with one name


def test_order_no_is_published_as_in_the_serializer_field(api: dict[str, Any]) -> None:
    for name in ("OrderInputRequest", "PaymentInputRequest"):
        assert api["components"]["schemas"][name]["properties"]["order_no"] == ORDER_NO


def test_every_event_is_a_webhook(api: dict[str, Any]) -> None:
    assert list(api["webhooks"]) == list(catalogue.ALL_TYPES)


ORDER_NO = OrderNoField()._spectacular_annotation["field"]  # type: ignore[attr-defined]
PUBLISHED = re.compile(ORDER_NO["pattern"].removesuffix("$") + r"\Z")  # as ECMA-262 reads $


@given(st.from_regex(PUBLISHED) | st.text(max_size=70) | st.text("aZ9._:@+=~-/ %", max_size=5))
def test_the_published_pattern_of_order_no_is_the_enforced_one(text: str) -> None:
    allowed = bool(PUBLISHED.match(text)) and ORDER_NO["minLength"] <= len(text) <= ORDER_NO["maxLength"]
    try:
        accepted = OrderNoField().run_validation(text) == text
    except ValidationError:
        accepted = False
    assert accepted == allowed, text


@pytest.mark.parametrize("text", [".", "..", "a\n", "a b", "订单", "a/b", "é"])
def test_invalid_order_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        OrderNoField().run_validation(text)
