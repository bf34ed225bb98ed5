"""Events from Stripe: signed over the raw bytes, read like answers (docs.stripe.com/webhooks)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import stripe
import structlog

from channels.base import (
    LIVE,
    TEST,
    ChannelEvent,
    ChannelPayment,
    ChannelRefund,
    PaymentState,
    WebhookRefused,
)
from channels.payloads import storable
from channels.stripe import config, shapes
from channels.stripe.shapes import PAYMENT_NO, Shape, Unreadable

log = structlog.get_logger(__name__)

TOLERANCE_SECONDS = 300

SESSIONS = frozenset(
    f"checkout.session.{name}"
    for name in ("completed", "expired", "async_payment_succeeded", "async_payment_failed")
)
SLOW_FAILURE = "checkout.session.async_payment_failed"
INTENTS = frozenset(
    f"payment_intent.{name}"
    for name in ("succeeded", "processing", "canceled", "amount_capturable_updated", "payment_failed")
)
DISPUTES = "charge.dispute."
# Names the charge, not the refund: the refunds of the payment are then read from Stripe.
REFUNDED = "charge.refunded"
REFUNDS = frozenset(("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"))

# What the webhook endpoint at Stripe must send us.
EVENTS = tuple(
    sorted(
        SESSIONS
        | INTENTS
        | REFUNDS
        | {REFUNDED}
        | {
            f"{DISPUTES}{name}"
            for name in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
        }
    )
)


def parse(*, body: bytes, headers: Mapping[str, str]) -> ChannelEvent:
    """Raises `WebhookRefused` unless Stripe signed exactly these bytes within the last five minutes, for the
    environment that the event speaks of. Every other event is acknowledged."""
    environment = _signed_for(body, headers)
    try:
        event = storable(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("not JSON") from error
    if not isinstance(event, dict) or event.get("livemode") is not (environment == LIVE):
        raise WebhookRefused("signed for the other environment")
    try:
        return _read(event, environment)
    except (Unreadable, AttributeError, TypeError) as error:
        raise WebhookRefused(f"not of a known shape: {error}") from error


def _signed_for(body: bytes, headers: Mapping[str, str]) -> str:
    signature = {name.lower(): value for name, value in headers.items()}.get("stripe-signature", "")
    refusal = "no secret is configured"
    for environment in (LIVE, TEST):
        for secret in config.webhook_secrets(environment):
            try:
                stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
            except stripe.SignatureVerificationError as error:
                refusal = error.user_message or "wrong signature"
            except UnicodeDecodeError:
                refusal = "not UTF-8"
            else:
                return environment
    raise WebhookRefused(refusal)


def _read(event: dict[str, Any], environment: str) -> ChannelEvent:
    event_id, event_type = event.get("id"), event.get("type")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= 255 or not isinstance(event_type, str):
        raise Unreadable("no id or type")
    subject: Shape = (event.get("data") or {}).get("object") or {}
    if event.get("account"):  # of an account that is connected to ours: not our money
        log.info("stripe.event_of_another_account", event_id=event_id)
        return ChannelEvent(event_id, event_type)
    if event.get("api_version") != config.API_VERSION:
        log.warning("stripe.event_of_another_version", event_id=event_id, version=event.get("api_version"))
    if event_type.startswith(DISPUTES):
        return ChannelEvent(event_id, event_type, dispute=shapes.dispute_of(subject, environment))
    if event_type == REFUNDED:
        refunded = shapes.refunded_payment_of(subject, environment)
        return ChannelEvent(event_id, event_type, refunded=refunded)
    payment = _payment(event_type, subject, environment)
    return ChannelEvent(event_id, event_type, payment, _refund(event_type, subject, environment))


def _payment(event_type: str, subject: Shape, environment: str) -> ChannelPayment | None:
    if not shapes.reference_of(subject, PAYMENT_NO, environment):
        return None
    if event_type in SESSIONS:
        payment = shapes.payment_of_session(subject, environment)
        # The session itself says only that it is complete and unpaid. Its page is closed: nobody can try again.
        return _failed(payment) if event_type == SLOW_FAILURE else payment
    if event_type in INTENTS:
        return shapes.payment_of_intent(subject, environment)
    return None


def _failed(payment: ChannelPayment) -> ChannelPayment:
    return replace(payment, state=PaymentState.DECLINED, failure_code="payment_failed")


def _refund(event_type: str, subject: Shape, environment: str) -> ChannelRefund | None:
    """Also one without our number: it was made in Stripe's dashboard, and its money is gone all the same."""
    return shapes.refund_of(subject, environment) if event_type in REFUNDS else None
