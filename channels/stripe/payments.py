"""Creating, cancelling and capturing at Stripe. All raise `StripeError` and `Unreadable`."""

import datetime as dt
from dataclasses import replace
from typing import Any

import stripe
from django.conf import settings

from channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelPayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentResult,
    PaymentState,
    Reported,
)
from channels.stripe import amounts, errors, lookup, shapes
from channels.stripe.amounts import UnsupportedAmount
from channels.stripe.shapes import DIRECT, PAYMENT_NO

# A merchant that has a customer's saved card pays with it at once, instead of sending the customer to a page.
SAVED_CARD, CUSTOMER = "stripe_payment_method", "stripe_customer"
# What Stripe allows a Checkout Session to live.
MIN_SESSION_SECONDS, MAX_SESSION_SECONDS = 30 * 60, 24 * 3600
# Longer than the deadline of the saga that repeats the call.
REPEAT_SECONDS = 20 * 60
# What Stripe's clock and ours may differ.
CLOCK_SECONDS = 60


def create(api: stripe.StripeClient, request: CreatePayment) -> PaymentResult:
    try:
        amount = amounts.to_stripe(request.amount_minor, request.currency)
    except UnsupportedAmount as error:
        return error.as_answer()
    if is_saved_card(request):
        return _charge_saved_card(api, request, amount)
    return _open_page(api, request, amount)


def is_saved_card(request: CreatePayment) -> bool:
    """The call charges at once. Otherwise it opens a page, and no money moves by it."""
    return bool(request.metadata.get(SAVED_CARD))


def _open_page(api: stripe.StripeClient, request: CreatePayment, amount: int) -> PaymentResult:
    labels = shapes.labels(request.metadata, {PAYMENT_NO: request.reference}, request.environment)
    product = {"name": request.subject[:250]}
    if request.description:
        product["description"] = request.description[:500]
    price = {"currency": request.currency.lower(), "unit_amount": amount, "product_data": product}
    params: Any = {
        "mode": "payment",
        "client_reference_id": request.reference,
        "line_items": [{"quantity": 1, "price_data": price}],
        "metadata": labels,
        "payment_intent_data": {
            "metadata": labels,
            "capture_method": "manual" if request.manual_capture else "automatic",
        },
        "success_url": request.return_url or settings.PUBLIC_BASE_URL,
        "expires_at": _session_end(request),
        "expand": lookup.EXPAND_INTENT,
    }
    if request.return_url:
        params["cancel_url"] = request.return_url
    created = api.v1.checkout.sessions.create(params, {"idempotency_key": request.key})
    return Reported(shapes.payment_of_session(created.to_dict(), request.environment))


def _session_end(request: CreatePayment) -> int:
    """The end of the payment, within what Stripe allows (30 minutes to 24 hours after the session is made). Computed
    from moments that are committed with the intent: a repetition with the same key must say the same.

    A payment that ends earlier is ended by our own expiry. The call may come `REPEAT_SECONDS` after its intent, for
    example after an outage; then Stripe refuses the time, and the next call gets a new one with a new key.
    """
    now = dt.datetime.now(dt.UTC)
    intended = int((request.intended_at or now).timestamp())
    wanted = int((request.started_at or now).timestamp()) + request.expires_in_seconds
    earliest = intended + MIN_SESSION_SECONDS + REPEAT_SECONDS
    return min(max(wanted, earliest), intended + MAX_SESSION_SECONDS - CLOCK_SECONDS)


def _charge_saved_card(api: stripe.StripeClient, request: CreatePayment, amount: int) -> PaymentResult:
    params: Any = {
        "amount": amount,
        "currency": request.currency.lower(),
        "payment_method": request.metadata[SAVED_CARD],
        "confirm": True,
        # Where the customer comes back to from 3-D Secure. Stripe refuses to confirm without it.
        "return_url": request.return_url or settings.PUBLIC_BASE_URL,
        "capture_method": "manual" if request.manual_capture else "automatic",
        "metadata": shapes.labels(
            request.metadata, {PAYMENT_NO: request.reference, DIRECT: "yes"}, request.environment
        ),
    }
    if request.metadata.get(CUSTOMER):
        params["customer"] = request.metadata[CUSTOMER]
    created = api.v1.payment_intents.create(params, {"idempotency_key": request.key})
    return Reported(shapes.payment_of_intent(created.to_dict(), request.environment))


def cancel(api: stripe.StripeClient, request: CancelPayment) -> PaymentResult:
    """Asks first, and again when Stripe refuses: the customer may have been faster.

    Without an idempotency key of ours: a payment ends once, whatever is repeated, and a key would also repeat an answer
    that is no longer true, such as a refusal because the payment was processing then."""
    found = _payment_to_end(api, request)
    if not isinstance(found, Reported):
        return found
    payment = found.value
    try:
        if payment.state == PaymentState.OPEN and payment.channel_trade_no.startswith(lookup.SESSION):
            api.v1.checkout.sessions.expire(payment.channel_trade_no)
        elif payment.state in (PaymentState.OPEN, PaymentState.AUTHORIZED):
            held_by = lookup.intent_id(
                api, replace(request.payment, channel_trade_no=payment.channel_trade_no)
            )
            api.v1.payment_intents.cancel(held_by)
        else:
            return found
    except stripe.InvalidRequestError as error:
        if isinstance(errors.answer_to(error), NotFoundAtChannel):
            raise
    return lookup.payment(api, replace(request.payment, channel_trade_no=payment.channel_trade_no))


def _payment_to_end(api: stripe.StripeClient, request: CancelPayment) -> PaymentResult:
    """A page whose creation was never answered is not looked for among all sessions of its time: repeating the creation
    answers with it, or opens it now, and no money moves by that."""
    creation = request.creation
    if request.payment.channel_trade_no or creation is None or is_saved_card(creation):
        return lookup.payment(api, request.payment)
    try:
        return create(api, creation)
    except stripe.StripeError as error:
        answer = errors.answer_to(error)
        never_opened = isinstance(answer, Declined | NewKeyRequired | InvalidRequest)
        return NotFoundAtChannel() if never_opened else answer


def capture(api: stripe.StripeClient, request: CapturePayment) -> PaymentResult:
    """Without an idempotency key of ours, as `cancel`: Stripe captures a payment once."""
    found = lookup.payment(api, request.payment)
    if not isinstance(found, Reported) or found.value.state == PaymentState.PAID:
        return found
    try:
        amount = amounts.to_stripe(request.amount_minor, found.value.currency)
    except UnsupportedAmount as error:
        return error.as_answer()
    held_by = lookup.intent_id(api, request.payment)
    if not held_by:
        return NotFoundAtChannel()
    params: Any = {"amount_to_capture": amount}
    captured = api.v1.payment_intents.capture(held_by, params)
    payment = shapes.payment_of_intent(captured.to_dict(), request.payment.environment)
    return Reported(_under_its_name(payment, found.value))


def _under_its_name(payment: ChannelPayment, known: ChannelPayment) -> ChannelPayment:
    return replace(payment, channel_trade_no=known.channel_trade_no)
