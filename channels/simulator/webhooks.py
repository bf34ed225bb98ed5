"""How the bank proves that a webhook is its own: HMAC-SHA256 over the time and the raw bytes."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from django.conf import settings

from channels.base import (
    TEST,
    ChannelEvent,
    ChannelPayment,
    ChannelRefund,
    PaymentState,
    RefundState,
    WebhookRefused,
)
from channels.payloads import storable

TIMESTAMP_HEADER = "Simulator-Timestamp"
SIGNATURE_HEADER = "Simulator-Signature"
TOLERANCE_SECONDS = 300

V = TypeVar("V")


def sign(body: bytes, *, timestamp: int) -> dict[str, str]:
    """The headers that go with a webhook."""
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: f"v1={_mac(body, str(timestamp))}"}


def parse(*, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
    """Raises `WebhookRefused` unless the bank signed exactly these bytes within the last five minutes."""
    found = {name.lower(): value for name, value in headers.items()}
    timestamp = found.get(TIMESTAMP_HEADER.lower(), "")
    signature = found.get(SIGNATURE_HEADER.lower(), "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise WebhookRefused("no timestamp")
    if not hmac.compare_digest(signature.encode(errors="replace"), f"v1={_mac(body, timestamp)}".encode()):
        raise WebhookRefused("wrong signature")
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        raise WebhookRefused("too old, or from the future")
    return _read(body)


def _mac(body: bytes, timestamp: str) -> str:
    signed = timestamp.encode() + b"." + body
    return hmac.new(settings.SIMULATOR_WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()


def _read(body: bytes) -> ChannelEvent:
    try:
        payload = storable(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("not JSON") from error
    event = _object(payload)
    return ChannelEvent(
        event_id=_text(event, "event_id"),
        event_type=_text(event, "type"),
        payment=_payment(_object(event["payment"])) if "payment" in event else None,
        refund=_refund(_object(event["refund"])) if "refund" in event else None,
    )


def _payment(fields: dict[str, Any]) -> ChannelPayment:
    return ChannelPayment(
        reference=_text(fields, "reference"),
        channel_trade_no=_text(fields, "channel_trade_no"),
        state=_one_of(PaymentState, fields),
        amount_minor=_value(fields, "amount_minor", int),
        currency=_text(fields, "currency"),
        captured_minor=_value(fields, "captured_minor", int),
        payment_url=_value(fields, "payment_url", str),
        failure_code=_value(fields, "failure_code", str),
        failure_message=_value(fields, "failure_message", str),
    )


def _refund(fields: dict[str, Any]) -> ChannelRefund:
    """Its `reference` is empty when it was made at the bank; `payment_reference` then says of which payment."""
    of_payment = _text(fields, "payment_reference") if "payment_reference" in fields else ""
    return ChannelRefund(
        reference=_text(fields, "reference") if fields.get("reference") or not of_payment else "",
        channel_refund_no=_text(fields, "channel_refund_no"),
        state=_one_of(RefundState, fields),
        amount_minor=_value(fields, "amount_minor", int),
        currency=_text(fields, "currency"),
        failure_code=_value(fields, "failure_code", str),
        failure_message=_value(fields, "failure_message", str),
        environment=TEST,
        payment_reference=of_payment,
    )


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WebhookRefused("not an object")
    return value


def _value(fields: dict[str, Any], name: str, kind: type[V]) -> V:
    value = fields.get(name)
    if type(value) is not kind:
        raise WebhookRefused(f"{name} is missing or of the wrong type")
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    text = _value(fields, name, str)
    if not text or len(text) > 255 or "\\u0000" in text:
        raise WebhookRefused(f"{name} is empty or too long")
    return text


S = TypeVar("S", PaymentState, RefundState)


def _one_of(states: type[S], fields: dict[str, Any]) -> S:
    try:
        return states(_text(fields, "state"))
    except ValueError as error:
        raise WebhookRefused("the state is not known") from error
