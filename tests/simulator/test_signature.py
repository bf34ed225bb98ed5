"""A webhook that the bank did not sign just now, byte for byte, is refused."""

import json
import time
from typing import Any

import pytest

from channels.base import WebhookEvent, WebhookRefused, WebhookRequest
from channels.simulator import webhooks
from channels.simulator.channel import SimulatorChannel
from tests.support.channels import TEST_ACCOUNT


def _signed(payload: object, *, age: int = 0) -> tuple[bytes, dict[str, str]]:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return body, webhooks.sign(body, timestamp=int(time.time()) - age)


@pytest.fixture
def payload() -> dict[str, Any]:
    payment = {
        "reference": "PAY-1",
        "channel_trade_no": "sim_pay_1",
        "state": "paid",
        "amount_minor": 10_000,
        "currency": "USD",
        "captured_minor": 10_000,
        "payment_url": "",
        "failure_code": "",
        "failure_message": "",
    }
    return {"event_id": "sim_evt_1", "type": "payment.paid", "created": 1, "payment": payment}


def test_header_names_are_read_in_any_case(channel: SimulatorChannel, payload: dict[str, Any]) -> None:
    body, headers = _signed(payload)
    for spelled in (headers, {name.upper(): value for name, value in headers.items()}):
        assert (
            channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, spelled)).event_id == payload["event_id"]
        )


@pytest.mark.parametrize("age", [-290, 0, 290])
def test_a_recent_webhook_is_accepted(channel: SimulatorChannel, payload: dict[str, Any], age: int) -> None:
    body, headers = _signed(payload, age=age)
    channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers))


@pytest.mark.parametrize("age", [-320, 310, 86_400])
def test_an_old_webhook_is_refused(channel: SimulatorChannel, payload: dict[str, Any], age: int) -> None:
    body, headers = _signed(payload, age=age)
    with pytest.raises(WebhookRefused):
        channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers))


def test_a_changed_body_is_refused(channel: SimulatorChannel, payload: dict[str, Any]) -> None:
    body, headers = _signed(payload)
    changed = [
        body[:-1],
        body + b" ",
        b"",
        body.replace(b"10000", b"99999"),
        json.dumps(payload, indent=1).encode(),
        body.decode().encode("utf-16"),
    ]
    for other in changed:
        with pytest.raises(WebhookRefused):
            channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(other, headers))


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"Simulator-Signature": ""},
        {"Simulator-Signature": "v1="},
        {"Simulator-Signature": "v1=" + "0" * 64},
        {"Simulator-Signature": "v1=é\udcff"},
        {"Simulator-Timestamp": ""},
        {"Simulator-Timestamp": "soon"},
        {"Simulator-Timestamp": "-1"},
        {"Simulator-Timestamp": "9" * 400},
        {"Simulator-Timestamp": "١٢٣"},
        {"Simulator-Timestamp": str(int(time.time()) - 60)},  # older than any signature of these tests
    ],
)
def test_a_forged_signature_is_refused(
    channel: SimulatorChannel, payload: dict[str, Any], forged: dict[str, str]
) -> None:
    body, headers = _signed(payload)
    with pytest.raises(WebhookRefused):
        channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, {**headers, **forged} if forged else {}))


def test_another_secret_is_refused(channel: SimulatorChannel, payload: dict[str, Any], settings) -> None:
    body, headers = _signed(payload)
    settings.SIMULATOR_WEBHOOK_SECRET = "another"
    with pytest.raises(WebhookRefused):
        channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"[" * 100_000,
        b'{"event_id": 1, "type": "x"}',
        b"1" * 5_000,
    ],
)
def test_signed_nonsense_is_refused(channel: SimulatorChannel, body: bytes) -> None:
    body, headers = _signed(body)
    with pytest.raises(WebhookRefused):
        channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", "rich"),
        ("state", None),
        ("amount_minor", "10000"),
        ("amount_minor", True),
        ("amount_minor", 1.5),
        ("reference", ""),
        ("reference", "a\0b"),
        ("reference", "a" * 300),
        ("currency", 5),
    ],
)
def test_signed_wrong_fields_are_refused(
    channel: SimulatorChannel, payload: dict[str, Any], name: str, value: object
) -> None:
    body, headers = _signed({**payload, "payment": {**payload["payment"], name: value}})
    with pytest.raises(WebhookRefused):
        channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers))


def test_an_unknown_event_type_is_parsed_without_an_object(channel: SimulatorChannel) -> None:
    body, headers = _signed({"event_id": "evt_1", "type": "account.updated"})
    assert channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers)) == WebhookEvent(
        "evt_1", "account.updated"
    )
