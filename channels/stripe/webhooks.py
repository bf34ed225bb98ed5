"""Verifies and parses Stripe's events: signed over the raw bytes, read like answers (docs.stripe.com/webhooks)."""

import json
from dataclasses import replace
from typing import Any

import stripe
import structlog

from channels.base import (
    LIVE,
    ChannelAccount,
    ChannelPayment,
    PaymentState,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.payloads import make_storable
from channels.stripe import config
from channels.stripe.dispute_objects import read_dispute
from channels.stripe.fields import StripeJson, Unreadable
from channels.stripe.metadata import PAYMENT_NO, read_reference
from channels.stripe.payment_objects import read_payment_intent, read_session
from channels.stripe.refund_objects import read_refund, read_refunded_charge

log = structlog.get_logger(__name__)

TOLERANCE_SECONDS = 300  # as Stripe's libraries (docs.stripe.com/webhooks#replay-attacks)

SESSION_EVENTS = frozenset(
    f"checkout.session.{name}"
    for name in ("completed", "expired", "async_payment_succeeded", "async_payment_failed")
)
ASYNC_FAILURE = "checkout.session.async_payment_failed"
INTENT_EVENTS = frozenset(
    f"payment_intent.{name}"
    for name in ("succeeded", "processing", "canceled", "amount_capturable_updated", "payment_failed")
)
DISPUTE_PREFIX = "charge.dispute."
# Names the charge, not the refund: the platform then queries the refunds of the payment.
CHARGE_REFUNDED = "charge.refunded"
REFUND_EVENTS = frozenset(("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"))

# The events that the webhook endpoint at Stripe must send.
EVENTS = tuple(
    sorted(
        SESSION_EVENTS
        | INTENT_EVENTS
        | REFUND_EVENTS
        | {CHARGE_REFUNDED}
        | {
            f"{DISPUTE_PREFIX}{name}"
            for name in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
        }
    )
)


def parse_webhook(account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
    """Raises `WebhookRefused` unless Stripe signed these bytes in the last five minutes, for this account.

    Events that we do not use are returned without an update.
    """
    environment = account.environment
    _verify_signature(account, request)
    try:
        event = make_storable(json.loads(request.body))
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("not JSON") from error
    if not isinstance(event, dict) or event.get("livemode") is not (environment == LIVE):
        raise WebhookRefused("signed for the other environment")
    try:
        return _read_event(event, environment)
    except (Unreadable, AttributeError, TypeError) as error:
        raise WebhookRefused(f"not of a known shape: {error}") from error


def _verify_signature(account: ChannelAccount, request: WebhookRequest) -> None:
    """Raises `WebhookRefused` unless one of the account's secrets signed the body."""
    signature = request.get_header("Stripe-Signature")
    refusal = "no secret is configured"
    for secret in config.get_webhook_secrets(account):
        try:
            stripe.WebhookSignature.verify_header(request.body, signature, secret, TOLERANCE_SECONDS)
        except stripe.SignatureVerificationError as error:
            refusal = error.user_message or "wrong signature"
        except UnicodeDecodeError:
            refusal = "not UTF-8"
        else:
            return
    raise WebhookRefused(refusal)


def _read_event(event: dict[str, Any], environment: str) -> WebhookEvent:
    event_id, event_type = event.get("id"), event.get("type")
    if not isinstance(event_id, str) or not 0 < len(event_id) <= 255 or not isinstance(event_type, str):
        raise Unreadable("no id or type")
    if event.get("account"):  # of an account that is connected to ours: not our money
        log.info("stripe.event_of_another_account", event_id=event_id)
        return WebhookEvent(event_id, event_type)
    if event.get("api_version") != config.API_VERSION:
        log.warning("stripe.event_of_another_version", event_id=event_id, version=event.get("api_version"))
    subject: StripeJson = (event.get("data") or {}).get("object") or {}
    if event_type.startswith(DISPUTE_PREFIX):
        return WebhookEvent(event_id, event_type, (read_dispute(subject, environment),))
    if event_type == CHARGE_REFUNDED:
        return WebhookEvent(event_id, event_type, (read_refunded_charge(subject, environment),))
    if event_type in REFUND_EVENTS:
        # Also a refund without our number: it was made in Stripe's dashboard.
        return WebhookEvent(event_id, event_type, (read_refund(subject, environment),))
    payment = _read_payment(event_type, subject, environment)
    return WebhookEvent(event_id, event_type, (payment,) if payment else ())


def _read_payment(event_type: str, subject: StripeJson, environment: str) -> ChannelPayment | None:
    """Returns None for an event that is not about a payment of ours."""
    if not read_reference(subject, PAYMENT_NO, environment):
        return None
    if event_type in INTENT_EVENTS:
        return read_payment_intent(subject, environment)
    if event_type not in SESSION_EVENTS:
        return None
    payment = read_session(subject, environment)
    if event_type == ASYNC_FAILURE:
        # The session says only that it is complete and unpaid. Its page is closed: nobody can try again.
        return replace(payment, state=PaymentState.DECLINED, failure_code="payment_failed")
    return payment
