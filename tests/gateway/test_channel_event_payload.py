"""The stored payload of a channel event has no personal data and a limited size."""

import json

import pytest

from common.sensitive_text import REDACTED
from gateway.services.channel_event_payload import CUT, MAX_PAYLOAD_CHARACTERS, redact_payload

# As Stripe's documentation shows a charge and a session, shortened: https://docs.stripe.com/api/charges/object.
CHARGE = {
    "id": "evt_1",
    "type": "charge.succeeded",
    "data": {
        "object": {
            "id": "ch_1",
            "amount": 1099,
            "currency": "usd",
            "payment_intent": "pi_1",
            "status": "succeeded",
            "metadata": {"payment_no": "PAY-20261127-1234567890", "note": "for jenny.rosen@example.com"},
            "billing_details": {
                "address": {"city": "Springfield", "line1": "123 Main Street", "postal_code": "12345"},
                "email": "jenny.rosen@example.com",
                "name": "Jenny Rosen",
                "phone": "+15555555555",
            },
            "shipping": {"name": "Jenny Rosen", "address": {"line1": "123 Main Street"}},
            "receipt_email": "jenny.rosen@example.com",
            "receipt_url": "https://pay.stripe.com/receipts/payment/abc",
            "payment_method_details": {
                "card": {"brand": "visa", "last4": "4242", "fingerprint": "mToisGZ01V71BCos"},
                "type": "card",
            },
            "customer_details": {"email": "jenny.rosen@example.com", "name": "Jenny Rosen"},
            "description": "for jenny.rosen@example.com",
            "outcome": {"network_status": "approved_by_network", "type": "authorized"},
            "client_ip": "203.0.113.9",
        }
    },
}


def test_personal_data_is_removed() -> None:
    kept = json.dumps(redact_payload(CHARGE))
    for personal in (
        "jenny",
        "rosen",
        "main street",
        "springfield",
        '12345"',
        "5555555",
        "4242",
        "mtois",
        "203.0.113",
    ):
        assert personal not in kept.lower()
    assert "receipts/" not in kept


def test_facts_about_money_are_kept() -> None:
    charge = redact_payload(CHARGE)["data"]["object"]
    for name in ("id", "amount", "currency", "payment_intent", "status", "outcome"):
        assert charge[name] == CHARGE["data"]["object"][name]
    assert charge["metadata"] == {"payment_no": "PAY-20261127-1234567890", "note": f"for {REDACTED}"}
    assert charge["payment_method_details"]["type"] == "card"
    assert charge["payment_method_details"]["card"]["brand"] == "visa"


@pytest.mark.parametrize("payload", [{"a": ["x" * 500] * 1_000, "type": "t"}, ["x" * 500] * 1_000])
def test_a_huge_payload_is_cut(payload: object) -> None:
    kept = redact_payload(payload)
    assert len(json.dumps(kept)) < MAX_PAYLOAD_CHARACTERS
    assert CUT in json.dumps(kept)


def test_values_that_jsonb_cannot_hold_are_replaced() -> None:
    assert redact_payload({"a": "x\x00y", "b": float("nan"), "\x00": 1}) == {
        "a": "x\ufffdy",
        "b": None,
        "\ufffd": 1,
    }
