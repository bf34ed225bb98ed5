"""Creates, cancels and captures payments at Stripe. All functions raise `StripeError` and `UnexpectedFormat`."""

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
    IncrementAuthorization,
    InvalidRequest,
    NewKeyRequired,
    NotFoundAtChannel,
    PaymentResult,
    PaymentState,
    Reported,
)
from channels.stripe import amounts, config, errors, lookup
from channels.stripe.amounts import UnsupportedAmount
from channels.stripe.fields import StripeJson, read_number
from channels.stripe.metadata import DIRECT, build_metadata, build_payment_labels
from channels.stripe.payment_objects import read_payment_intent, read_session

# Metadata with which the merchant charges a customer's saved card at once, without a page.
SAVED_CARD, CUSTOMER = "stripe_payment_method", "stripe_customer"
# What a merchant may request for a card (docs.stripe.com/api/checkout/sessions/create, `payment_method_options.card`).
# Nothing is requested by default: Stripe refuses the request for an account that is not eligible.
MULTICAPTURE, INCREMENTAL_AUTHORIZATION = "request_multicapture", "request_incremental_authorization"
CARD_FEATURES = (MULTICAPTURE, INCREMENTAL_AUTHORIZATION)
FEATURE_VALUES = ("if_available", "never")
# The lifetime of a Checkout Session, from its creation (docs.stripe.com/api/checkout/sessions/create, `expires_at`).
MIN_SESSION_SECONDS, MAX_SESSION_SECONDS = 30 * 60, 24 * 3600
# For so long after its intent a creation can be repeated: longer than the deadline of its saga.
REPEAT_SECONDS = 20 * 60
_NO_MULTICAPTURE = Declined(
    "multicapture_unavailable", "Stripe captures this payment once: create it with request_multicapture."
)
_NO_INCREMENTAL_AUTHORIZATION = Declined(
    "incremental_authorization_unavailable",
    "Stripe does not increment this payment: create it with request_incremental_authorization.",
)
_NO_MULTICAPTURE_WITH_FEE = Declined(
    "multicapture_unavailable", "A payment with an application fee is captured once."
)
# Any merchant could name any customer of an account that all merchants share. Without the customer, Stripe charges no
# card that belongs to one (docs.stripe.com/api/payment_intents/create, `customer`).
_CUSTOMER_OF_SHARED_ACCOUNT = Declined(
    "saved_customer_unavailable",
    "A saved customer can be charged only through a Stripe account of the merchant's own.",
)
APPLICATION_FEE = "application_fee_amount"
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
    metadata = build_metadata(request.metadata, build_payment_labels(request), request.environment)
    product = {"name": request.subject[:250]}
    if request.description:
        product["description"] = request.description[:500]
    price = {"currency": request.currency.lower(), "unit_amount": amount, "product_data": product}
    intent_data: dict[str, Any] = {
        "metadata": metadata,
        "capture_method": "manual" if request.manual_capture else "automatic",
        **_build_application_fee(request),
    }
    params: Any = {
        "mode": "payment",
        "client_reference_id": request.reference,
        "line_items": [{"quantity": 1, "price_data": price}],
        "metadata": metadata,
        "payment_intent_data": intent_data,
        "success_url": request.return_url or settings.PUBLIC_BASE_URL,
        "expires_at": _compute_session_expiry(request),
        "expand": lookup.EXPAND_INTENT,
    }
    if features := _get_card_features(request):
        params["payment_method_options"] = {"card": features}
    if request.return_url:
        params["cancel_url"] = request.return_url
    session = api.v1.checkout.sessions.create(params, {"idempotency_key": request.key})
    return Reported(read_session(session.to_dict(), request.environment))


def _get_card_features(request: CreatePayment) -> dict[str, str]:
    """The requested features of an authorization. A payment that is captured at once has none."""
    options = request.payment_method_options if request.manual_capture else {}
    return {name: options[name] for name in CARD_FEATURES if options.get(name)}


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
    customer = request.metadata.get(CUSTOMER)
    if customer and request.account.id is None:
        return _CUSTOMER_OF_SHARED_ACCOUNT
    ours = {**build_payment_labels(request), DIRECT: "yes"}
    params: Any = {
        "amount": amount,
        "currency": request.currency.lower(),
        "payment_method": request.metadata[SAVED_CARD],
        "confirm": True,
        # The customer returns here from 3-D Secure. Stripe does not confirm without it.
        "return_url": request.return_url or settings.PUBLIC_BASE_URL,
        "capture_method": "manual" if request.manual_capture else "automatic",
        "metadata": build_metadata(request.metadata, ours, request.environment),
        **_build_application_fee(request),
    }
    if features := _get_card_features(request):
        params["payment_method_options"] = {"card": features}
    if customer:
        params["customer"] = customer
    intent = api.v1.payment_intents.create(params, {"idempotency_key": request.key})
    return Reported(read_payment_intent(intent.to_dict(), request.environment))


def _build_application_fee(request: CreatePayment) -> dict[str, int]:
    """docs.stripe.com/connect/direct-charges#collect-fees: the fee must be positive and less than the amount."""
    fee = request.application_fee_minor
    return {APPLICATION_FEE: amounts.to_stripe(fee, request.currency)} if fee else {}


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
        elif payment.captured_minor and payment.state == PaymentState.AUTHORIZED:
            # Releases what is held: docs.stripe.com/payments/multicapture#close-payment
            release: Any = {"amount_to_capture": 0, "final_capture": True}
            api.v1.payment_intents.capture(lookup.find_payment_intent_id(api, ref), release)
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
    """Sends a final capture without idempotency key, as `cancel_payment`: Stripe makes one. Of captures that are not
    final it would make several, so these have keys."""
    found = lookup.find_payment(api, request.payment)
    if not isinstance(found, Reported) or found.value.state == PaymentState.PAID:
        return found
    if found.value.captured_minor != request.captured_before_minor:
        return found  # by an earlier call, whose answer was lost
    try:
        amount = amounts.to_stripe(request.amount_minor, found.value.currency)
    except UnsupportedAmount as error:
        return error.to_result()
    intent_id = lookup.find_payment_intent_id(api, request.payment)
    if not intent_id:
        return NotFoundAtChannel()
    params: Any = {"amount_to_capture": amount}
    options: Any = None
    has_fee = False
    if config.get_connected_account(request.payment.account):
        intent = api.v1.payment_intents.retrieve(intent_id).to_dict()
        has_fee = bool(intent.get(APPLICATION_FEE))
        params.update(_reduce_application_fee(intent, amount, found.value.currency))
    if not request.is_final:
        if has_fee:
            return _NO_MULTICAPTURE_WITH_FEE
        if not _is_available(api, intent_id, "multicapture"):
            return _NO_MULTICAPTURE
        params["final_capture"] = False
        options = {"idempotency_key": request.key}
    captured = api.v1.payment_intents.capture(intent_id, params, options)
    payment = read_payment_intent(captured.to_dict(), request.payment.environment)
    # The payment keeps the id of its session.
    return Reported(replace(payment, channel_trade_no=found.value.channel_trade_no))


def increment_authorization(api: stripe.StripeClient, request: IncrementAuthorization) -> PaymentResult:
    """docs.stripe.com/payments/incremental-authorization: the call has the new total."""
    found = lookup.find_payment(api, request.payment)
    if not isinstance(found, Reported) or found.value.state != PaymentState.AUTHORIZED:
        return found
    try:
        amount = amounts.to_stripe(request.amount_minor, found.value.currency)
    except UnsupportedAmount as error:
        return error.to_result()
    if found.value.amount_minor == request.amount_minor:
        return found  # by an earlier call, whose answer was lost
    intent_id = lookup.find_payment_intent_id(api, request.payment)
    if not intent_id:
        return NotFoundAtChannel()
    if not _is_available(api, intent_id, "incremental_authorization"):
        return _NO_INCREMENTAL_AUTHORIZATION
    params: Any = {"amount": amount}
    intent = api.v1.payment_intents.increment_authorization(
        intent_id, params, {"idempotency_key": request.key}
    )
    payment = read_payment_intent(intent.to_dict(), request.payment.environment)
    return Reported(replace(payment, channel_trade_no=found.value.channel_trade_no))


def _is_available(api: stripe.StripeClient, intent_id: str, feature: str) -> bool:
    """Whether Stripe offers the feature for this payment, whose card and account decide it."""
    params: Any = {"expand": ["latest_charge"]}
    charge = api.v1.payment_intents.retrieve(intent_id, params).to_dict().get("latest_charge") or {}
    card = (charge.get("payment_method_details") or {}).get("card") or {}
    return (card.get(feature) or {}).get("status") == "available"


def _reduce_application_fee(intent: StripeJson, captured: int, currency: str) -> dict[str, int]:
    """The fee of a partial capture: reduced in proportion, rounded down. Without it Stripe takes the fee of the whole
    amount, capped at what was captured (docs.stripe.com/api/payment_intents/capture)."""
    fee, amount = intent.get(APPLICATION_FEE), read_number(intent, "amount")
    if not fee or captured >= amount:
        return {}
    return {APPLICATION_FEE: amounts.round_down(fee * captured // amount, currency)}
