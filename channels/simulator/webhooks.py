"""Signs, verifies and parses the bank's webhooks: HMAC-SHA256 over the timestamp and the raw bytes."""

import datetime as dt
import hashlib
import hmac
import json
import re
import time
from typing import Any, TypeVar

from django.conf import settings

from channels.base import (
    TEST,
    ChannelAccount,
    ChannelDispute,
    ChannelDisputeReason,
    ChannelDisputeStage,
    ChannelPayment,
    ChannelRefund,
    ChannelUpdate,
    DisputeState,
    PaymentCard,
    PaymentState,
    RedirectAction,
    RefundState,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
    read_card,
)
from channels.payloads import make_storable

TIMESTAMP_HEADER = "Simulator-Timestamp"
SIGNATURE_HEADER = "Simulator-Signature"
TOLERANCE_SECONDS = 300

V = TypeVar("V")


def sign(body: bytes, *, timestamp: int) -> dict[str, str]:
    """Returns the headers that sign a webhook."""
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: f"v1={_compute_mac(body, str(timestamp))}"}


def parse_webhook(account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
    """Raises `WebhookRefused` unless the bank signed exactly these bytes within the last five minutes."""
    if account.environment != TEST:
        raise WebhookRefused("the simulator has test accounts only")
    timestamp, signature = request.get_header(TIMESTAMP_HEADER), request.get_header(SIGNATURE_HEADER)
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise WebhookRefused("no timestamp")
    if not hmac.compare_digest(
        signature.encode(errors="replace"), f"v1={_compute_mac(request.body, timestamp)}".encode()
    ):
        raise WebhookRefused("wrong signature")
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        raise WebhookRefused("too old, or from the future")
    return _read_event(request.body)


def _compute_mac(body: bytes, timestamp: str) -> str:
    signed = timestamp.encode() + b"." + body
    return hmac.new(settings.SIMULATOR_WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()


def _read_event(body: bytes) -> WebhookEvent:
    try:
        payload = make_storable(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("not JSON") from error
    event = _read_object(payload)
    updates: list[ChannelUpdate] = []
    if "payment" in event:
        updates.append(_read_payment(_read_object(event["payment"])))
    if "refund" in event:
        updates.append(_read_refund(_read_object(event["refund"])))
    if "dispute" in event:
        updates.append(_read_dispute(_read_object(event["dispute"])))
    return WebhookEvent(_read_text(event, "event_id"), _read_text(event, "type"), tuple(updates))


def _read_payment(fields: dict[str, Any]) -> ChannelPayment:
    return ChannelPayment(
        reference=_read_text(fields, "reference"),
        channel_trade_no=_read_text(fields, "channel_trade_no"),
        state=_read_state(PaymentState, fields),
        amount_minor=_read_value(fields, "amount_minor", int),
        currency=_read_text(fields, "currency"),
        captured_minor=_read_value(fields, "captured_minor", int),
        next_action=RedirectAction(_read_value(fields, "payment_url", str)),
        failure_code=_read_value(fields, "failure_code", str),
        failure_message=_read_value(fields, "failure_message", str),
        complete_before=_read_time(fields, "complete_before") if "complete_before" in fields else None,
        card=_read_card(fields.get("card")),
    )


def _read_card(card: Any) -> PaymentCard | None:
    return read_card(card, last_four="last4", wallet=card.get("wallet") if isinstance(card, dict) else "")


def _read_refund(fields: dict[str, Any]) -> ChannelRefund:
    """`reference` is empty for a refund that was made at the bank; `payment_reference` then names its payment."""
    payment_reference = _read_text(fields, "payment_reference") if "payment_reference" in fields else ""
    return ChannelRefund(
        reference=_read_text(fields, "reference") if fields.get("reference") or not payment_reference else "",
        channel_refund_no=_read_text(fields, "channel_refund_no"),
        state=_read_state(RefundState, fields),
        amount_minor=_read_value(fields, "amount_minor", int),
        currency=_read_text(fields, "currency"),
        failure_code=_read_value(fields, "failure_code", str),
        failure_message=_read_value(fields, "failure_message", str),
        environment=TEST,
        payment_reference=payment_reference,
    )


def _read_dispute(fields: dict[str, Any]) -> ChannelDispute:
    submission_count = _read_value(fields, "submission_count", int)
    return ChannelDispute(
        environment=TEST,
        channel_dispute_no=_read_text(fields, "channel_dispute_no"),
        channel_trade_no=_read_text(fields, "channel_trade_no"),
        amount_minor=_read_value(fields, "amount_minor", int),
        currency=_read_text(fields, "currency"),
        reason=_read_state(ChannelDisputeReason, fields, "reason"),
        channel_reason=_read_text(fields, "reason"),
        state=_read_state(DisputeState, fields),
        stage=_read_state(ChannelDisputeStage, fields, "stage"),
        evidence_due_by=_read_time(fields, "evidence_due_by"),
        has_evidence=submission_count > 0,
        submission_count=submission_count,
    )


def _read_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WebhookRefused("not an object")
    return value


def _read_value(fields: dict[str, Any], name: str, kind: type[V]) -> V:
    value = fields.get(name)
    if type(value) is not kind:
        raise WebhookRefused(f"{name} is missing or of the wrong type")
    return value


def _read_text(fields: dict[str, Any], name: str) -> str:
    text = _read_value(fields, name, str)
    if not text or len(text) > 255 or "\\u0000" in text:
        raise WebhookRefused(f"{name} is empty or too long")
    return text


def _read_time(fields: dict[str, Any], name: str) -> dt.datetime:
    try:
        time_read = dt.datetime.fromisoformat(_read_text(fields, name))
    except ValueError as error:
        raise WebhookRefused(f"{name} is not a time") from error
    if time_read.tzinfo is None:
        raise WebhookRefused(f"{name} has no time zone")
    return time_read


S = TypeVar("S", PaymentState, RefundState, DisputeState, ChannelDisputeStage, ChannelDisputeReason)


def _read_state(states: type[S], fields: dict[str, Any], name: str = "state") -> S:
    try:
        return states(_read_text(fields, name))
    except ValueError as error:
        raise WebhookRefused(f"the {name} is not known") from error
