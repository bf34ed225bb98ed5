"""Verifies and parses PayPal's webhooks (developer.paypal.com/api/rest/webhooks/rest, "Message verification").

The signature is checked here and not by PayPal's `verify-webhook-signature`: that call would take the time of a
webhook, needs PayPal to answer, and wants the event as a JSON value that has to come out byte for byte as it came in.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from channels.base import (
    ChannelAccount,
    ChannelUpdate,
    UnexpectedFormat,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.paypal.certificates import get_public_key
from channels.paypal.client import PayPalClient
from channels.paypal.config import get_webhook_ids
from channels.paypal.disputes import read_reported_dispute
from channels.paypal.errors import FAILURES, PayPalError
from channels.paypal.fields import read_object, read_text
from channels.paypal.orders import find_order_id, read_order, read_refund
from channels.paypal.payments import query_order

ALGORITHM = "SHA256withRSA"
QUERY_TIMEOUT_SECONDS = 5.0
_REFUND_EVENTS = ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.")
_PAYMENT_EVENTS = ("CHECKOUT.ORDER.", "PAYMENT.CAPTURE.", "PAYMENT.AUTHORIZATION.")
_DISPUTE_EVENTS = ("CUSTOMER.DISPUTE.",)


def parse_webhook(account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
    _verify(account, request)
    try:
        event = json.loads(request.body)
        if not isinstance(event, dict):
            raise UnexpectedFormat("the event is not an object")
        event_id, event_type = read_text(event, "id"), read_text(event, "event_type")
        if not event_id or not event_type:
            raise UnexpectedFormat("the event has no id or type")
        updates = _read_updates(account, event_type, read_object(event, "resource"))
        return WebhookEvent(event_id, event_type, updates)
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("the event is not JSON") from error
    except FAILURES as error:
        # PayPal sends the event again, up to 25 times in 3 days, and polling asks for the status anyway.
        raise WebhookRefused(f"the event cannot be applied now: {error}") from error


def _verify(account: ChannelAccount, request: WebhookRequest) -> None:
    """The signature is over `transmission id|time|webhook id|CRC-32 of the raw body in decimal`."""
    if request.get_header("Paypal-Auth-Algo") != ALGORITHM:
        raise WebhookRefused("the signature's algorithm is not SHA256withRSA")
    webhook_ids = get_webhook_ids(account)
    if not webhook_ids:
        raise WebhookRefused("the account has no webhook id")
    try:
        signature = base64.b64decode(request.get_header("Paypal-Transmission-Sig"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebhookRefused("the signature is not base64") from error
    if not signature:
        raise WebhookRefused("the signature is missing")
    key = get_public_key(request.get_header("Paypal-Cert-Url"), account.environment)
    transmission = (
        request.get_header("Paypal-Transmission-Id"),
        request.get_header("Paypal-Transmission-Time"),
    )
    for webhook_id in webhook_ids:
        signed = "|".join((*transmission, webhook_id, str(zlib.crc32(request.body))))
        try:
            key.verify(signature, signed.encode(errors="replace"), PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return
    raise WebhookRefused("wrong signature")


def _read_updates(
    account: ChannelAccount, event_type: str, resource: Mapping[str, Any]
) -> tuple[ChannelUpdate, ...]:
    if event_type.startswith(_REFUND_EVENTS):
        return (read_refund(resource, account.environment),)
    if event_type.startswith(_DISPUTE_EVENTS):
        dispute = read_reported_dispute(account, resource, QUERY_TIMEOUT_SECONDS)
        return (dispute,) if dispute else ()
    if event_type.startswith(_PAYMENT_EVENTS):
        return _query_order(account, event_type, resource)
    return ()


def _query_order(
    account: ChannelAccount, event_type: str, resource: Mapping[str, Any]
) -> tuple[ChannelUpdate, ...]:
    """Queries the order that the event is about. A capture or authorization does not say the order's amount, an order
    does not say its captures, and both are as old as the event."""
    order_id = (
        read_text(resource, "id") if event_type.startswith("CHECKOUT.ORDER.") else find_order_id(resource)
    )
    if not (order_id.isascii() and order_id.isalnum()):
        return ()
    try:
        order = query_order(PayPalClient(account, QUERY_TIMEOUT_SECONDS), order_id)
    except PayPalError as error:
        if error.is_not_found:  # it has lapsed without money
            return ()
        raise
    try:
        return (read_order(order, account.environment).payment,)
    except UnexpectedFormat:  # an order of another application of the merchant
        return ()
