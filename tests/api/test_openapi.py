"""No request made from the OpenAPI document causes an internal error, and the answers match the document."""

import json
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from merchants.services.demo import seed_demo_merchant
from payment_platform.wsgi import application
from tests.contract.document import document
from tests.support.shop import order_request, payment_request
from tests.support.signing import demo_client

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
DEMO = {"X-API-Key": demo_client().key, "X-Signature": demo_client().secret}
# The number of random requests for each operation, besides those that test each limit of the document.
EXAMPLES, LONG_EXAMPLES = 10, 100
OPERATIONS = [
    f"{method.upper()} {path}" for path, methods in document()["paths"].items() for method in methods
]


@pytest.fixture(autouse=True)
def _demo_merchant(transactional_db: None) -> None:
    seed_demo_merchant()


@pytest.fixture
def schema(transactional_db: None) -> Any:
    return _read_schema()


@cache
def _read_schema() -> Any:
    """Reads the document with schemathesis, which is imported here because the import takes a second."""
    import schemathesis

    return schemathesis.openapi.from_wsgi("/api/schema", application)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_answers_as_documented(
    schema: Any, operation: str, pytestconfig: pytest.Config
) -> None:
    examples = LONG_EXAMPLES if pytestconfig.getoption("--long") else EXAMPLES
    _generated_test(schema, operation, examples)()


def _generated_test(schema: Any, operation: str, examples: int) -> Callable[[], None]:
    """Builds the test that `schema.parametrize()` makes for an operation. The decorator itself would build the tests of
    all operations during collection, in each process of pytest, which takes 3 s of CPU."""
    from schemathesis.checks import load_all_checks, not_a_server_error
    from schemathesis.generation.feedback import FeedbackSources
    from schemathesis.pytest._test_builder import build_operation_test
    from schemathesis.python._constants.orchestrator import make_constants_value_source
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    def answers_as_it_says(case: Any) -> None:
        response = case.call(headers=DEMO)
        assert response.headers["x-request-id"]
        case.validate_response(
            response, checks=[not_a_server_error, content_type_conformance, response_schema_conformance]
        )

    load_all_checks()
    test: Callable[[], None] = build_operation_test(
        config=schema.config,
        operation=schema.find_operation_by_label(operation),
        test_func=answers_as_it_says,
        given_kwargs={},
        feedback=FeedbackSources(constants_value_source=make_constants_value_source(schema)),
    )
    return test


def _real_call(schema: Any, path: str, method: str, body: Any = None, **names: str) -> Any:
    """Makes a call with real values. Its answer must match the document."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    more = {} if body is None else {"body": body, "media_type": "application/json"}
    case = schema[f"/api/v1{path}"][method].Case(path_parameters=names, headers=DEMO, **more)
    response = case.call()
    case.validate_response(
        response,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
    )
    return json.loads(response.content)


def test_real_answers_match_the_document(schema: Any) -> None:
    call = partial(_real_call, schema)
    paid = call("/payments", "POST", payment_request("auto_pay"))["data"]
    held = call("/payments", "POST", payment_request("authorize", capture_method="manual"))["data"]
    waiting = call("/payments", "POST", payment_request("timeout_before"))["data"]
    assert [paid["status"], held["status"], waiting["status"]] == ["succeeded", "authorized", "pending"]
    assert call("/payments", "POST", payment_request("decline"))["error_code"] == "payment_declined"
    one = {"payment_no": paid["payment_no"]}
    call("/payments/{payment_no}", "GET", **one)
    call("/payments/{payment_no}/sync", "POST", {}, **one)
    created_refund = call("/refunds", "POST", {**one, "amount": 4_000})["data"]
    assert call("/refunds", "POST", {**one, "amount": 8_000})["error_code"] == "refund_exceeds_payment"
    call("/refunds/{refund_no}", "GET", refund_no=created_refund["refund_no"])
    call("/payments/{payment_no}/capture", "POST", {"amount": 5}, payment_no=held["payment_no"])
    call("/payments/{payment_no}/cancel", "POST", {}, payment_no=waiting["payment_no"])
    order = call("/orders", "POST", order_request())["data"]
    call("/orders/{order_no}", "GET", order_no=order["order_no"])
    call("/orders/{order_no}/cancel", "POST", {}, order_no=order["order_no"])
    assert (
        call("/orders/{order_no}/cancel", "POST", {}, order_no=paid["order_no"])["error_code"] == "order_paid"
    )
    slow = call("/payments", "POST", payment_request("cancel:timeout_before"))["data"]
    assert (
        call("/orders/{order_no}/cancel", "POST", {}, order_no=slow["order_no"])["data"]["status"]
        == "pending"
    )
    held_trade = {"channel_trade_no": held["channel_trade_no"]}
    call("/channel/payments/{channel_trade_no}/cancel", "POST", {}, **held_trade)
    endpoint = call("/webhook-endpoints", "POST", {"url": "http://127.0.0.1:9/hook"})["data"]
    one = {"endpoint_id": endpoint["id"]}
    call("/webhook-endpoints/{endpoint_id}", "GET", **one)
    call("/webhook-endpoints/{endpoint_id}", "PATCH", {"description": "Main"}, **one)
    call("/webhook-endpoints/{endpoint_id}/rotate-secret", "POST", {}, **one)
    call("/webhook-endpoints/callback/rotate-secret", "POST", {})
    call("/webhook-endpoints/{endpoint_id}/resend", "POST", {}, **one)
    delivery = call("/webhook-endpoints/{endpoint_id}/test", "POST", {}, **one)["data"]
    call("/webhook-deliveries/{delivery_id}", "GET", delivery_id=delivery["id"])
    call("/webhook-deliveries/{delivery_id}/resend", "POST", {}, delivery_id=delivery["id"])
    call("/webhook-endpoints/{endpoint_id}", "DELETE", **one)
    call("/events/{event_id}", "GET", event_id=delivery["event_id"])
    for path in (
        "/payments",
        "/refunds",
        "/orders",
        "/merchant",
        "/merchant/api-keys",
        "/events",
        "/webhook-endpoints",
        "/webhook-deliveries",
    ):
        assert call(path, "GET")["code"] == 0


def test_every_path_of_the_contract_is_in_the_document() -> None:
    named = {path.removeprefix("/api/v1") for path in document()["paths"]}
    assert named >= {
        "/events",
        "/events/{event_id}",
        "/webhook-endpoints",
        "/webhook-endpoints/{endpoint_id}",
        "/webhook-endpoints/{endpoint_id}/rotate-secret",
        "/webhook-endpoints/{endpoint_id}/test",
        "/webhook-endpoints/{endpoint_id}/resend",
        "/webhook-endpoints/callback/rotate-secret",
        "/webhook-deliveries",
        "/webhook-deliveries/{delivery_id}",
        "/webhook-deliveries/{delivery_id}/resend",
        "/payments",
        "/payments/{payment_no}",
        "/payments/{payment_no}/cancel",
        "/payments/{payment_no}/capture",
        "/payments/{payment_no}/sync",
        "/refunds",
        "/refunds/{refund_no}",
        "/orders",
        "/orders/{order_no}",
        "/orders/{order_no}/cancel",
        "/channel/payments/{channel_trade_no}/cancel",
        "/merchant",
        "/merchant/api-keys",
    }
