"""The OpenAPI document holds: no request made from it fails inside us, and answers look as it says."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from merchants.services.demo import seed_demo_merchant
from payment_platform.wsgi import application
from tests.support.signing import demo_client

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


def test_every_address_of_the_contract_is_in_the_document() -> None:
    paths = schema.raw_schema["paths"]
    named = {path.removeprefix("/api/v1") for path in paths}
    assert named >= {
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
