"""Sequences of requests along the links of the OpenAPI document: create, read, change, delete, read again."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from merchants.services.demo import seed_demo_merchant
from tests.api.test_openapi import DEMO, _read_schema
from tests.contract.document import document

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
# The number of sequences, and of requests in each.
FEW, MANY, LENGTH = 3, 300, 8


def links() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Returns each link with its name and the schema of the answer that has it."""
    return [
        (name, link, response["content"]["application/json"]["schema"])
        for methods in document()["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for name, link in response.get("links", {}).items()
    ]


def test_each_operation_with_an_object_in_its_path_is_linked_and_each_link_names_a_value(db: None) -> None:
    paths, schemas = document()["paths"], document()["components"]["schemas"]
    linked = set()
    for name, link, schema in links():
        linked.add(link["operationId"])
        for expression in (*link.get("parameters", {}).values(), *link.get("requestBody", {}).values()):
            found = schema
            for part in expression.removeprefix("$response.body#/").split("/"):
                while "$ref" in found or "allOf" in found:
                    found = (
                        schemas[found["$ref"].rpartition("/")[2]] if "$ref" in found else found["allOf"][0]
                    )
                found = found["items"] if part == "0" else found["properties"][part]
            assert "string" in found["type"], (name, expression)
    with_objects = {
        operation["operationId"]
        for path, methods in paths.items()
        for operation in methods.values()
        if "{" in path
    }
    assert linked == with_objects | {"refunds_create"}


def test_no_sequence_of_requests_fails(transactional_db: None, pytestconfig: pytest.Config) -> None:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        ensure_resource_availability,
        response_headers_conformance,
        response_schema_conformance,
        status_code_conformance,
        use_after_free,
    )

    seed_demo_merchant()
    seen: set[str] = set()

    # A schema of its own: requests of other tests must not influence the sequences.
    class Sequences(_read_schema.__wrapped__().as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": DEMO}

        def validate_response(self, response: Any, case: Any, **_more: Any) -> None:
            seen.add(f"{case.operation.definition.raw['operationId']} {response.status_code}")
            checks = [
                not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
                response_schema_conformance, use_after_free, ensure_resource_availability,
            ]  # fmt: skip
            case.validate_response(response, checks=checks, headers=DEMO)

    many = pytestconfig.getoption("--long")
    Sequences.run(
        settings=settings(
            max_examples=MANY if many else FEW,
            stateful_step_count=LENGTH,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
    )
    print(sorted(seen))
