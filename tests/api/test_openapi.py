"""The OpenAPI document holds: no request made from it fails inside us, and answers look as it says."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from merchants.services.demo import seed_demo_merchant
from payment_platform.wsgi import application
from tests.support.shop import order_request, payment_request
from tests.support.signing import demo_client

pytest_plugins = ["schemathesis.pytest.plugin"]  # here alone: to import it takes seconds of each process
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
DEMO = {"X-API-Key": demo_client().key, "X-Signature": demo_client().secret}


schema = schemathesis.openapi.from_wsgi("/api/schema", application)


@pytest.fixture(autouse=True)
def _demo_merchant(transactional_db: None) -> None:
    seed_demo_merchant()


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_it_says(case: Any) -> None:
    response = case.call(headers=DEMO)
    assert response.headers["x-request-id"]
    case.validate_response(
        response, checks=[not_a_server_error, content_type_conformance, response_schema_conformance]
    )


def _real_call(path: str, method: str, body: Any = None, **names: str) -> Any:
    """A call with real values, whose answer must be one that the document knows."""
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


def test_real_answers_are_as_the_document_says() -> None:
    paid = _real_call("/payments", "POST", payment_request("auto_pay"))["data"]
    held = _real_call("/payments", "POST", payment_request("authorize", capture_method="manual"))["data"]
    waiting = _real_call("/payments", "POST", payment_request("timeout_before"))["data"]
    assert [paid["status"], held["status"], waiting["status"]] == ["succeeded", "authorized", "pending"]
    assert _real_call("/payments", "POST", payment_request("decline"))["error_code"] == "payment_declined"
    one = {"payment_no": paid["payment_no"]}
    _real_call("/payments/{payment_no}", "GET", **one)
    _real_call("/payments/{payment_no}/sync", "POST", {}, **one)
    given_back = _real_call("/refunds", "POST", {**one, "amount": 4_000})["data"]
    assert _real_call("/refunds", "POST", {**one, "amount": 8_000})["error_code"] == "refund_exceeds_payment"
    _real_call("/refunds/{refund_no}", "GET", refund_no=given_back["refund_no"])
    _real_call("/payments/{payment_no}/capture", "POST", {"amount": 5}, payment_no=held["payment_no"])
    _real_call("/payments/{payment_no}/cancel", "POST", {}, payment_no=waiting["payment_no"])
    order = _real_call("/orders", "POST", order_request())["data"]
    _real_call("/orders/{order_no}", "GET", order_no=order["order_no"])
    _real_call("/orders/{order_no}/cancel", "POST", {}, order_no=order["order_no"])
    assert (
        _real_call("/orders/{order_no}/cancel", "POST", {}, order_no=paid["order_no"])["error_code"]
        == "order_paid"
    )
    slow = _real_call("/payments", "POST", payment_request("cancel:timeout_before"))["data"]
    assert (
        _real_call("/orders/{order_no}/cancel", "POST", {}, order_no=slow["order_no"])["data"]["status"]
        == "pending"
    )
    held_trade = {"channel_trade_no": held["channel_trade_no"]}
    _real_call("/channel/payments/{channel_trade_no}/cancel", "POST", {}, **held_trade)
    endpoint = _real_call("/webhook-endpoints", "POST", {"url": "http://127.0.0.1:9/hook"})["data"]
    one = {"endpoint_id": endpoint["id"]}
    _real_call("/webhook-endpoints/{endpoint_id}", "GET", **one)
    _real_call("/webhook-endpoints/{endpoint_id}", "PATCH", {"description": "Main"}, **one)
    _real_call("/webhook-endpoints/{endpoint_id}/rotate-secret", "POST", {}, **one)
    _real_call("/webhook-endpoints/callback/rotate-secret", "POST", {})
    _real_call("/webhook-endpoints/{endpoint_id}/resend", "POST", {}, **one)
    delivery = _real_call("/webhook-endpoints/{endpoint_id}/test", "POST", {}, **one)["data"]
    _real_call("/webhook-deliveries/{delivery_id}", "GET", delivery_id=delivery["id"])
    _real_call("/webhook-deliveries/{delivery_id}/resend", "POST", {}, delivery_id=delivery["id"])
    _real_call("/webhook-endpoints/{endpoint_id}", "DELETE", **one)
    _real_call("/events/{event_id}", "GET", event_id=delivery["event_id"])
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
        assert _real_call(path, "GET")["code"] == 0


def test_every_address_of_the_contract_is_in_the_document() -> None:
    paths = schema.raw_schema["paths"]
    named = {path.removeprefix("/api/v1") for path in paths}
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
