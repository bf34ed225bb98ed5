"""The result of each error of Stripe, by its type, code and headers (docs.stripe.com/error-low-level,
docs.stripe.com/error-codes). The SDK itself reads the HTTP answers."""

import json
from typing import Any

import pytest
import stripe

from channels.base import (
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    NotProcessed,
    UnknownOutcome,
)
from channels.stripe import errors
from channels.stripe.http import SENT_METHOD, StripeNotConnected


def read(status: int, error: dict[str, Any], method: str = "POST", **headers: str) -> stripe.StripeError:
    """Returns the error that the SDK raises for this answer."""

    class Answering(stripe.HTTPClient):
        name = "scripted"

        def request(self, *_request: Any, **_more: Any) -> tuple[str, int, dict[str, str]]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return json.dumps({"error": error}), status, {**named, SENT_METHOD: method}

        def close(self) -> None:
            pass

    api = stripe.StripeClient("sk_test_x", http_client=Answering(), max_network_retries=0)
    with pytest.raises(stripe.StripeError) as raised:
        if method == "GET":
            api.v1.refunds.list()
        else:
            api.v1.refunds.create({"payment_intent": "pi_1"})
    return raised.value


INVALID = {"type": "invalid_request_error", "message": "no"}
REPLAYED = {"Idempotent_Replayed": "true"}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (read(500, {"type": "api_error"}), UnknownOutcome),
        (read(503, {"type": "api_error"}), UnknownOutcome),
        (read(500, {"type": "api_error"}, **REPLAYED), NewKeyRequired),
        (read(400, {"type": "idempotency_error", "message": "other parameters"}), NewKeyRequired),
        (read(409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}), NotProcessed),
        (read(429, {**INVALID, "code": "rate_limit"}), NotProcessed),
        (read(401, INVALID), NotProcessed),
        (read(402, {"type": "card_error", "code": "card_declined"}), Declined),
        (read(402, {"type": "card_error", "code": "card_declined"}, **REPLAYED), Declined),
        (read(404, {**INVALID, "code": "resource_missing"}), NotFoundAtChannel),
        (read(404, {**INVALID, "code": "resource_missing"}, "GET"), NotFoundAtChannel),
        (read(404, {**INVALID, "message": "Unrecognized request URL"}, "GET"), InvalidRequest),
        (read(400, {**INVALID, "code": "charge_already_refunded"}), Declined),
        (read(400, {**INVALID, "code": "charge_already_refunded"}, **REPLAYED), Declined),
        (read(400, {**INVALID, "code": "amount_too_small"}), Declined),
        (read(400, {**INVALID, "code": "parameter_unknown", "param": "x"}), InvalidRequest),
        (read(400, INVALID), InvalidRequest),
        (read(400, {**INVALID, "param": "expires_at"}), NewKeyRequired),
        (read(400, INVALID, Stripe_Should_Retry="true"), UnknownOutcome),
        (read(400, {**INVALID, "code": "parameter_unknown"}, "GET"), InvalidRequest),
        (StripeNotConnected("refused"), NotProcessed),
    ],
    ids=lambda each: "" if isinstance(each, Exception) else each.__name__,
)
def test_each_error_has_one_result(error: stripe.StripeError, answer: type) -> None:
    assert type(errors.to_result(error)) is answer


@pytest.mark.parametrize(("code", "is_fault"), [("rate_limit", True), ("lock_timeout", False)])
def test_a_locked_object_is_no_fault_of_the_channel(code: str, is_fault: bool) -> None:
    """docs.stripe.com/rate-limits#object-lock-timeouts: both are a 429."""
    result = errors.to_result(read(429, {**INVALID, "code": code}, Retry_After="2"))
    assert isinstance(result, NotProcessed)
    assert (result.is_channel_fault, result.retry_after_seconds) == (is_fault, 2)


@pytest.mark.parametrize("code", ["parameter_unknown", "charge_already_refunded", "card_declined"])
def test_a_refused_query_decides_nothing_about_its_object(code: str) -> None:
    result = errors.to_result(read(400, {**INVALID, "code": code}, "GET"))
    assert isinstance(result, InvalidRequest)
    assert result.is_query


def test_an_invalid_request_names_its_parameter() -> None:
    result = errors.to_result(read(400, {**INVALID, "code": "parameter_unknown", "param": "line_items[0]"}))
    assert result == InvalidRequest("parameter_unknown", "no", "line_items[0]")
