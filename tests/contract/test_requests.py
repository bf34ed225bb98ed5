"""Query parameters, texts, 202 answers, signatures and partial captures (issues 10 C and 11 C4)."""

import hashlib
from urllib.parse import urlencode

import pytest
from django.test import Client

from merchants.models import ApiKey
from tests.support.shop import (
    ORDERS,
    PAYMENTS,
    REFUNDS,
    authorized,
    cancel_order,
    capture,
    create,
    data,
    error,
    opened,
    order_request,
    paid,
    payment_request,
    refund,
)
from tests.support.signing import SignedClient
from tests.support.webhooks import DELIVERIES, ENDPOINTS, EVENTS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

RANGED = (PAYMENTS, REFUNDS, ORDERS, EVENTS, DELIVERIES)
DAY, NEXT = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00+08:00"


# --- Queries ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RANGED)
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ([("created_from", NEXT), ("created_to", DAY)], "created_from"),
        ([("created_from", "2026-01-01T00:00:00")], "created_from"),
        ([("created_to", "2026-01-01")], "created_to"),
        ([("limit", "1"), ("limit", "2")], "limit"),
        ([("created_from", DAY), ("created_from", DAY)], "created_from"),
    ],
    ids=["backwards", "no offset", "a day", "limit twice", "time twice"],
)
def test_an_invalid_query_parameter_is_named(
    client: SignedClient, path: str, query: list[tuple[str, str]], field: str
) -> None:
    assert list(error(client.get(f"{path}?{urlencode(query)}"), 400, "validation_failed")) == [field]


@pytest.mark.parametrize("path", [*RANGED, ENDPOINTS, "/api/v1/merchant/api-keys"])
def test_a_repeated_query_parameter_is_refused(client: SignedClient, path: str) -> None:
    answer = client.get(f"{path}?cursor=a&limit=1&cursor=b")
    assert list(error(answer, 400, "validation_failed")) == ["cursor"]


def test_a_range_is_read_with_its_offset(client: SignedClient) -> None:
    opened(client)
    query = urlencode({"created_from": "2020-01-01T00:00:00+08:00", "created_to": "2019-12-31T16:00:00Z"})
    assert data(client.get(f"{PAYMENTS}?{query}"))["items"] == []


# --- Texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", ["\x1b[31mred", "a\u202eb", "a\u2066b", "a\x85b", "a\nb", "a\u2028b"], ids=ascii
)
def test_control_and_bidirectional_characters_are_refused(client: SignedClient, bad: str) -> None:
    item = {"name": bad, "quantity": 1, "unit_amount": 10_000}
    for changes, field in (
        ({"subject": bad}, "subject"),
        ({"items": [item]}, "items.0.name"),
        ({"customer": {"name": bad}}, "customer.name"),
    ):
        assert list(error(create(client, **changes), 400, "validation_failed")) == [field]
    assert list(error(client.post(ORDERS, order_request(subject=bad)), 400, "validation_failed")) == [
        "subject"
    ]
    assert list(error(refund(client, paid(client), 1, reason=bad), 400, "validation_failed")) == ["reason"]


def test_ordinary_text_is_accepted(client: SignedClient) -> None:
    text = "Ein Kaffee, 咖啡, قهوة \u200fقهوة\u200f, ☕️"
    payment = opened(client, subject=text, body="two\nlines\tand a tab", metadata={"note": "a\nb"})
    assert (payment["subject"], payment["body"]) == (text, "two\nlines\tand a tab")
    assert list(error(create(client, body="a\x1bb"), 400, "validation_failed")) == ["body"]


# --- Answers that are not final ---------------------------------------------------------------------------------


def assert_accepted(answer, path: str) -> None:
    data(answer, 202)
    assert (answer["Location"], answer["Retry-After"]) == (path, "2")


def test_202_has_location_and_retry_after(client: SignedClient) -> None:
    answer = create(client, "timeout_before")
    assert_accepted(answer, f"{PAYMENTS}/{data(answer, 202)['payment_no']}")
    data(client.get(answer["Location"]))
    slow = opened(client, "cancel:timeout_before")
    assert_accepted(cancel_order(client, slow["order_no"]), f"{ORDERS}/{slow['order_no']}")
    held = authorized(client, "capture:timeout_before")
    assert_accepted(capture(client, held), f"{PAYMENTS}/{held['payment_no']}")
    answer = refund(client, paid(client, "refund:timeout_before"), 100)
    assert_accepted(answer, f"{REFUNDS}/{data(answer, 202)['refund_no']}")
    assert data(client.get(answer["Location"]))["status"] in ("pending", "processing")


def test_an_operation_in_progress_has_retry_after(client: SignedClient) -> None:
    slow = opened(client, "cancel:timeout_before")
    data(cancel_order(client, slow["order_no"]), 202)
    answer = cancel_order(client, slow["order_no"])
    if answer.status_code == 409:
        error(answer, 409, "operation_in_progress")
        assert answer["Retry-After"] == "2"
    else:
        data(answer, 202)


# --- Signatures -------------------------------------------------------------------------------------------------


def test_a_wrong_signature_of_a_test_key_is_explained(client: SignedClient) -> None:
    body = b'{"amount": 1}'
    answer = client.request(
        "POST", f"{PAYMENTS}?a=%20b", body=body, idempotency_key="k", X_Signature="v1=" + "0" * 64
    )
    text = error(answer, 401, "invalid_credentials")["canonical_string"]
    lines = text.split("\n")
    assert lines[:4] == ["v1", "POST", PAYMENTS, "a=%20b"]
    assert lines[6:] == ["k", hashlib.sha256(body).hexdigest()]
    assert client.secret not in answer.content.decode()
    assert client.key not in answer.content.decode()


def test_other_keys_get_no_explanation(client: SignedClient, live_client: SignedClient) -> None:
    unknown = SignedClient(client.key[:-1] + ("a" if client.key[-1] != "a" else "b"), client.secret)
    wrong = {"X_Signature": "v1=" + "0" * 64}
    assert error(live_client.get(PAYMENTS, **wrong), 401, "invalid_credentials") == {}
    assert error(unknown.get(PAYMENTS, **wrong), 401, "invalid_credentials") == {}
    ApiKey.objects.filter(environment="test").update(revoked_at="2026-01-01T00:00:00Z")
    assert error(client.get(PAYMENTS, **wrong), 401, "invalid_credentials") == {}
    assert error(client.get(PAYMENTS), 401, "invalid_credentials") == {}


# --- Money ------------------------------------------------------------------------------------------------------


def test_a_refund_above_a_partial_capture_names_what_was_captured(client: SignedClient) -> None:
    held = authorized(client)
    data(capture(client, held, amount=4_000))
    details = error(refund(client, held, 5_000), 422, "refund_exceeds_payment")
    assert (details["captured_amount"], details["payment_amount"], details["refundable_amount"]) == (
        4_000,
        10_000,
        4_000,
    )


def test_an_empty_channel_is_no_channel(client: SignedClient) -> None:
    """Generated clients send "" for a field without a value."""
    assert data(client.post(PAYMENTS, payment_request(channel="")))["channel"] == "simulator"


# --- The payment page -------------------------------------------------------------------------------------------


def test_a_stale_form_leads_back_to_the_payment_page(client: SignedClient) -> None:
    path = "/" + opened(client)["payment_url"].split("/", 3)[3]
    answer = Client(enforce_csrf_checks=True).post(path, {"card": "pay"}, headers={"Accept-Language": "en"})
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Please try again" in page
    assert f'href="{path}?lang=en"' in page
    assert "checkout.css" in page
    assert Client().get(path).status_code == 200
