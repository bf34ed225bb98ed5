"""Checkout Sessions and their customers (docs.stripe.com/payments/checkout/how-checkout-works)."""

from typing import Any

from tests.support.stripe import amounts, application_fees, intents
from tests.support.stripe.account import StripeAccount
from tests.support.stripe.intents import CHALLENGED_CARD, VOUCHER
from tests.support.stripe.messages import ErrorResponse, InvalidParameter
from tests.support.stripe.specification import JsonObject

# docs.stripe.com/api/checkout/sessions/create: `expires_at`
MIN_SECONDS, MAX_SECONDS = 30 * 60, 24 * 3600


def create_session(account: StripeAccount, params: JsonObject) -> JsonObject:
    (item,) = params["line_items"]
    price = item["price_data"]
    amount, currency = price["unit_amount"] * item["quantity"], price["currency"]
    amounts.require_chargeable(amount, currency)
    application_fees.require_allowed(account, params.get("payment_intent_data", {}), amount)
    session = account.create_object(
        "checkout.session",
        "cs_test",
        adaptive_pricing={"enabled": False},
        amount_subtotal=amount,
        amount_total=amount,
        automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
        cancel_url=params.get("cancel_url"),
        client_reference_id=params.get("client_reference_id"),
        currency=currency,
        custom_fields=[],
        custom_text=dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        customer_creation="if_required",
        expires_at=_read_expiry(account, params),
        livemode=False,
        metadata=params.get("metadata", {}),
        mode=params["mode"],
        payment_method_collection="if_required",
        payment_method_options=_build_card_options(params.get("payment_method_options", {})),
        payment_method_types=["card"],
        payment_status="unpaid",
        phone_number_collection={"enabled": False},
        shipping_options=[],
        status="open",
        success_url=params["success_url"],
        total_details={"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        ui_mode="hosted_page",
    )
    session["url"] = f"https://checkout.stripe.com/c/pay/{session['id']}"
    account.sessions[session["id"]] = session
    account.session_intent_data[session["id"]] = params.get("payment_intent_data", {})
    return session


def _build_card_options(options: JsonObject) -> JsonObject:
    """The options as a session shows them; 3-D Secure is `automatic` by default."""
    return {"card": {"request_three_d_secure": "automatic", **options["card"]}} if "card" in options else {}


def _read_expiry(account: StripeAccount, params: JsonObject) -> int:
    """`expires_at` is 30 minutes to 24 hours after creation, by default 24 hours."""
    expires_at: int = params.get("expires_at", account.now() + MAX_SECONDS)
    lifetime = expires_at - account.now()
    # One second of tolerance: the test and the fake read their clocks one after the other.
    if not MIN_SECONDS - 1 <= lifetime <= MAX_SECONDS + 1:
        message = "The `expires_at` timestamp must be 30 minutes to 24 hours from Checkout Session creation."
        raise InvalidParameter(message, param="expires_at")
    return expires_at


def expire_session(account: StripeAccount, session_id: str) -> JsonObject:
    """docs.stripe.com/api/checkout/sessions/expire: only an open session can be expired."""
    session = account.get_session(session_id)
    if session["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired, not {session["status"]}.'
        raise ErrorResponse(400, message)
    _end_session(account, session)
    return session


def expire_due_sessions(account: StripeAccount) -> None:
    for session in account.sessions.values():
        if session["status"] == "open" and session["expires_at"] <= account.now():
            _end_session(account, session)


def _end_session(account: StripeAccount, session: JsonObject) -> None:
    """Ends the session and its PaymentIntent, which exists where a customer has tried to pay."""
    account.update_object(session, status="expired", url=None)
    if session["payment_intent"]:
        intents.end_intent(account, account.intents[session["payment_intent"]], None)
    account.emit_event("checkout.session.expired", session)


# --- What customers do on the page ----------------------------------------------------------------------------------


def pay_session(account: StripeAccount, session_id: str, card: str) -> bool:
    """Pays on the page. Returns False when the card is declined: the page stays open for another card.

    The PaymentIntent is created with the first attempt
    (docs.stripe.com/changelog/2022-08-01/deferred-paymentintent-checkout-session).
    """
    session = account.sessions[session_id]
    assert session["status"] == "open", "the page is closed"
    assert card != CHALLENGED_CARD, "the page stays open during 3-D Secure: the fake does not know that"
    intent = _get_or_create_intent(account, session)
    intent["payment_method"] = card
    try:
        intents.confirm_intent(account, intent, return_url=session["success_url"])
    except ErrorResponse:
        return False
    _complete_session(account, session, intent)
    return True


def _get_or_create_intent(account: StripeAccount, session: JsonObject) -> JsonObject:
    if session["payment_intent"] is None:
        data = account.session_intent_data[session["id"]]
        fields: dict[str, Any] = {
            "amount": session["amount_total"],
            "currency": session["currency"],
            "capture_method": data.get("capture_method", "automatic_async"),
            "metadata": data.get("metadata", {}),
            "payment_method_options": intents.build_card_options(session["payment_method_options"]),
            "application_fee_amount": data.get("application_fee_amount"),
        }
        account.update_object(session, payment_intent=intents.new_intent(account, **fields)["id"])
    return account.intents[session["payment_intent"]]


def _complete_session(account: StripeAccount, session: JsonObject, intent: JsonObject) -> None:
    is_paid = intent["status"] == "succeeded"
    account.update_object(
        session, status="complete", payment_status="paid" if is_paid else "unpaid", url=None
    )
    account.emit_event("checkout.session.completed", session)


def decide_payment(account: StripeAccount, session_id: str, *, is_paid: bool) -> None:
    """The bank decides a slow payment days later, or a voucher is paid or expires
    (docs.stripe.com/checkout/fulfillment)."""
    session = account.sessions[session_id]
    intent = account.intents[session["payment_intent"]]
    if is_paid:
        intents.succeed_intent(account, intent)
        account.update_object(session, payment_status="paid")
        account.emit_event("checkout.session.async_payment_succeeded", session)
    else:
        is_voucher = intent["payment_method"] == VOUCHER
        code = "payment_intent_payment_attempt_expired" if is_voucher else "payment_method_provider_decline"
        intents.fail_intent(account, intent, {"code": code})
        account.emit_event("checkout.session.async_payment_failed", session)
