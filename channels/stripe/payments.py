"""Creates, cancels and captures payments at Stripe. All functions raise `StripeError` and `Unreadable`."""

import datetime as dt
from dataclasses import replace
from typing import Any

import stripe
from django.conf import settings

from channels.base import (
    CancelPayment,
    CapturePayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentResult,
    PaymentState,
    Reported,
)
from channels.stripe import amounts, errors, lookup
from channels.stripe.amounts import UnsupportedAmount
from channels.stripe.metadata import DIRECT, PAYMENT_NO, build_metadata
from channels.stripe.payment_objects import read_payment_intent, read_session

# Metadata with which the merchant charges a customer's saved card at once, without a page.
SAVED_CARD, CUSTOMER = "stripe_payment_method", "stripe_customer"
# The lifetime of a Checkout Session, from its creation (docs.stripe.com/api/checkout/sessions/create, `expires_at`).
MIN_SESSION_SECONDS, MAX_SESSION_SECONDS = 30 * 60, 24 * 3600
# For so long after its intent a creation can be repeated: longer than the deadline of its saga.
REPEAT_SECONDS = 20 * 60
# How far Stripe's clock and ours may differ.
CLOCK_SECONDS = 60


def create_payment(api: stripe.StripeClient, request: CreatePayment) -> PaymentResult:
    try:
        amount = amounts.to_stripe(request.amount_minor, request.currency)
    except UnsupportedAmount as error:
        return error.to_result()
    if has_saved_card(request):
        return _charge_saved_card(api, request, amount)
    return _create_session(api, request, amount)


def has_saved_card(request: CreatePayment) -> bool:
    """Whether the call charges at once. Otherwise it creates a page, which moves no money."""
    return bool(request.metadata.get(SAVED_CARD))


def _create_session(api: stripe.StripeClient, request: CreatePayment, amount: int) -> PaymentResult:
    metadata = build_metadata(request.metadata, {PAYMENT_NO: request.reference}, request.environment)
    product = {"name": request.subject[:250]}
    if request.description:
        product["description"] = request.description[:500]
    price = {"currency": request.currency.lower(), "unit_amount": amount, "product_data": product}
    params: Any = {
        "mode": "payment",
        "client_reference_id": request.reference,
        "line_items": [{"quantity": 1, "price_data": price}],
        "metadata": metadata,
        "payment_intent_data": {
            "metadata": metadata,
            "capture_method": "manual" if request.manual_capture else "automatic",
        },
        "success_url": request.return_url or settings.PUBLIC_BASE_URL,
        "expires_at": _compute_session_expiry(request),
        "expand": lookup.EXPAND_INTENT,
    }
    if request.return_url:
        params["cancel_url"] = request.return_url
    session = api.v1.checkout.sessions.create(params, {"idempotency_key": request.key})
    return Reported(read_session(session.to_dict(), request.environment))


def _compute_session_expiry(request: CreatePayment) -> int:
    """Returns the end of the payment, within the lifetime that Stripe allows for a session.

    The result depends only on times that are committed with the intent, because a repetition with the same key must
    send the same parameters. The session must still be valid when the call is repeated `REPEAT_SECONDS` after its
    intent, for example after an outage; a later call is refused by Stripe, and the next one has a new key and a new
    time. A payment that ends before its session is ended by our own expiry.
    """
    now = dt.datetime.now(dt.UTC)
    intended = int((request.intended_at or now).timestamp())
    wanted = int((request.started_at or now).timestamp()) + request.expires_in_seconds
    earliest = intended + MIN_SESSION_SECONDS + REPEAT_SECONDS
    latest = intended + MAX_SESSION_SECONDS - CLOCK_SECONDS
    return min(max(wanted, earliest), latest)


def _charge_saved_card(api: stripe.StripeClient, request: CreatePayment, amount: int) -> PaymentResult:
    ours = {PAYMENT_NO: request.reference, DIRECT: "yes"}
    params: Any = {
        "amount": amount,
        "currency": request.currency.lower(),
        "payment_method": request.metadata[SAVED_CARD],
        "confirm": True,
        # The customer returns here from 3-D Secure. Stripe does not confirm without it.
        "return_url": request.return_url or settings.PUBLIC_BASE_URL,
        "capture_method": "manual" if request.manual_capture else "automatic",
        "metadata": build_metadata(request.metadata, ours, request.environment),
    }
    if request.metadata.get(CUSTOMER):
        params["customer"] = request.metadata[CUSTOMER]
    intent = api.v1.payment_intents.create(params, {"idempotency_key": request.key})
    return Reported(read_payment_intent(intent.to_dict(), request.environment))


def cancel_payment(api: stripe.StripeClient, request: CancelPayment) -> PaymentResult:
    """Queries first, and again when Stripe refuses the cancellation: the customer may have been faster.

    Sends no idempotency key: a payment ends once, however often the call is repeated, and a key would also repeat an
    outdated answer, such as a refusal because the payment was processing then.
    """
    found = _find_payment_to_cancel(api, request)
    if not isinstance(found, Reported):
        return found
    payment = found.value
    ref = replace(request.payment, channel_trade_no=payment.channel_trade_no)
    try:
        if payment.state == PaymentState.OPEN and lookup.is_session_id(payment.channel_trade_no):
            api.v1.checkout.sessions.expire(payment.channel_trade_no)
        elif payment.state in (PaymentState.OPEN, PaymentState.AUTHORIZED):
            api.v1.payment_intents.cancel(lookup.find_payment_intent_id(api, ref))
        else:
            return found
    except stripe.InvalidRequestError as error:
        if isinstance(errors.to_result(error), NotFoundAtChannel):
            raise
    return lookup.find_payment(api, ref)


def _find_payment_to_cancel(api: stripe.StripeClient, request: CancelPayment) -> PaymentResult:
    """Finds the payment. When the answer to the creation of a page was lost, repeats the creation.

    That returns the page, or creates it now; no money moves. It is faster than reading all sessions of that time.
    """
    creation = request.creation
    if request.payment.channel_trade_no or creation is None or has_saved_card(creation):
        return lookup.find_payment(api, request.payment)
    try:
        return create_payment(api, creation)
    except stripe.StripeError as error:
        result = errors.to_result(error)
        was_never_created = isinstance(result, Declined | NewKeyRequired | InvalidRequest)
        return NotFoundAtChannel() if was_never_created else result


def capture_payment(api: stripe.StripeClient, request: CapturePayment) -> PaymentResult:
    """Sends no idempotency key, as `cancel_payment`: Stripe captures a payment once."""
    found = lookup.find_payment(api, request.payment)
    if not isinstance(found, Reported) or found.value.state == PaymentState.PAID:
        return found
    try:
        amount = amounts.to_stripe(request.amount_minor, found.value.currency)
    except UnsupportedAmount as error:
        return error.to_result()
    intent_id = lookup.find_payment_intent_id(api, request.payment)
    if not intent_id:
        return NotFoundAtChannel()
    params: Any = {"amount_to_capture": amount}
    intent = api.v1.payment_intents.capture(intent_id, params)
    payment = read_payment_intent(intent.to_dict(), request.payment.environment)
    # The payment keeps the id of its session.
    return Reported(replace(payment, channel_trade_no=found.value.channel_trade_no))
