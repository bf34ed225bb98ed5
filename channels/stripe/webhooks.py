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
    DisconnectedAccount,
    PaymentState,
    UnexpectedFormat,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.payloads import make_storable
from channels.stripe import config
from channels.stripe.dispute_objects import read_dispute
from channels.stripe.fields import StripeJson
from channels.stripe.metadata import PAYMENT_NO, read_reference
from channels.stripe.payment_objects import read_charged_card, read_payment_intent, read_session
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
# Tells which card paid: neither the session nor the intent of a webhook does.
CHARGE_SUCCEEDED = "charge.succeeded"
REFUND_EVENTS = frozenset(("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"))

# The events that the webhook endpoint at Stripe must send.
EVENTS = tuple(
    sorted(
        SESSION_EVENTS
        | INTENT_EVENTS
        | REFUND_EVENTS
        | {CHARGE_REFUNDED, CHARGE_SUCCEEDED}
        | {
            f"{DISPUTE_PREFIX}{name}"
            for name in ("created", "updated", "closed", "funds_withdrawn", "funds_reinstated")
        }
    )
)
# The owner of a connected account has ended the platform's access to it (docs.stripe.com/connect/webhooks).
DEAUTHORIZED = "account.application.deauthorized"
# The events that the Connect endpoint must send.
CONNECT_EVENTS = tuple(sorted((*EVENTS, DEAUTHORIZED)))


def parse_webhook(account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
    """Raises `WebhookRefused` unless Stripe signed these bytes in the last five minutes, for this account.

    Events that we do not use are returned without an update. Only a signature with the secret of the platform's Connect
    endpoint lets an event name the account that it is about (`account`, docs.stripe.com/connect/webhooks).
    """
    is_from_connect_endpoint = _verify_signature(account, request)
    try:
        event = make_storable(json.loads(request.body))
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("not JSON") from error
    try:
        return _read_verified_event(event, account, is_from_connect_endpoint=is_from_connect_endpoint)
    except (UnexpectedFormat, AttributeError, TypeError) as error:
        raise WebhookRefused(f"not of a known shape: {error}") from error


def _verify_signature(account: ChannelAccount, request: WebhookRequest) -> bool:
    """Returns whether the Connect endpoint's secret signed the body; False: a secret of the account itself.

    Raises `WebhookRefused` when none of them did.
    """
    signature = request.get_header("Stripe-Signature")
    refusal = "no secret is configured"
    own = ((secret, False) for secret in config.get_webhook_secrets(account))
    connect = ((secret, True) for secret in config.get_connect_webhook_secrets(account))
    for secret, is_from_connect_endpoint in (*own, *connect):
        try:
            stripe.WebhookSignature.verify_header(request.body, signature, secret, TOLERANCE_SECONDS)
        except stripe.SignatureVerificationError as error:
            refusal = error.user_message or "wrong signature"
        except UnicodeDecodeError:
            refusal = "not UTF-8"
        else:
            return is_from_connect_endpoint
    raise WebhookRefused(refusal)


def _read_verified_event(
    event: Any, account: ChannelAccount, *, is_from_connect_endpoint: bool
) -> WebhookEvent:
    """Raises `WebhookRefused`, `UnexpectedFormat`, `AttributeError`, `TypeError`."""
    if not isinstance(event, dict):
        raise WebhookRefused("not an object")
    is_of_environment = event.get("livemode") is (account.environment == LIVE)
    if not is_of_environment and not (is_from_connect_endpoint and event.get("livemode") is False):
        raise WebhookRefused("signed for the other environment")
    event_id, event_type, named = event.get("id"), event.get("type"), event.get("account") or ""
    if not isinstance(event_id, str) or not 0 < len(event_id) <= 255 or not isinstance(event_type, str):
        raise UnexpectedFormat("no id or type")
    connected = config.get_connected_account(account)
    if connected and named != connected:
        raise WebhookRefused("about another account")
    if is_from_connect_endpoint is not bool(named) or not is_of_environment:
        # Of an account that this endpoint does not serve: not our money. Stripe sends a live Connect endpoint the
        # events of test mode too.
        log.info("stripe.event_of_another_account", event_id=event_id)
        return WebhookEvent(event_id, event_type)
    found = _read_event(event, event_id, event_type, account.environment)
    if not named:
        return found
    if event_type == DEAUTHORIZED:
        found = replace(found, updates=(DisconnectedAccount(),))
    # A connected account that verifies for itself has no other account to name.
    return found if connected else replace(found, connected_account_no=str(named))


def _read_event(event: dict[str, Any], event_id: str, event_type: str, environment: str) -> WebhookEvent:
    if event.get("api_version") != config.API_VERSION:
        log.warning("stripe.event_of_another_version", event_id=event_id, version=event.get("api_version"))
    subject: StripeJson = (event.get("data") or {}).get("object") or {}
    if event_type.startswith(DISPUTE_PREFIX):
        return WebhookEvent(event_id, event_type, (read_dispute(subject, environment),))
    if event_type == CHARGE_REFUNDED:
        return WebhookEvent(event_id, event_type, (read_refunded_charge(subject, environment),))
    if event_type == CHARGE_SUCCEEDED:
        reported = read_charged_card(subject, environment)
        return WebhookEvent(event_id, event_type, (reported,) if reported else ())
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
