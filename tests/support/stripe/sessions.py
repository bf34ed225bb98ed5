"""Checkout Sessions and their customers (docs.stripe.com/payments/checkout/how-checkout-works)."""

from typing import Any

from tests.support.stripe import intents, money
from tests.support.stripe.account import Account
from tests.support.stripe.intents import SLOW_DEBIT
from tests.support.stripe.requests import Invalid, Refusal
from tests.support.stripe.spec import Shape

MIN_SECONDS, MAX_SECONDS = 30 * 60, 24 * 3600


def create(account: Account, params: Shape) -> Shape:
    (item,) = params["line_items"]
    price = item["price_data"]
    amount, currency = price["unit_amount"] * item["quantity"], price["currency"]
    money.require_chargeable(amount, currency)
    session = account.made(
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
        expires_at=_end_of(account, params),
        livemode=False,
        metadata=params.get("metadata", {}),
        mode=params["mode"],
        payment_method_collection="if_required",
        payment_method_options={},
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


def _end_of(account: Account, params: Shape) -> int:
    """30 minutes to 24 hours after this creation of the session; 24 hours where nothing is said."""
    ends: int = params.get("expires_at", account.now() + MAX_SECONDS)
    life = ends - account.now()
    # Stripe forgives the second in which it reads the request.
    if not MIN_SECONDS - 1 <= life <= MAX_SECONDS + 1:
        message = "The `expires_at` timestamp must be 30 minutes to 24 hours from Checkout Session creation."
        raise Invalid(message, param="expires_at")
    return ends


def expire(account: Account, session_id: str) -> Shape:
    session = account.session(session_id)
    if session["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired, not {session["status"]}.'
        raise Refusal(400, message)
    _end(account, session)
    return session


def expire_due(account: Account) -> None:
    for session in account.sessions.values():
        if session["status"] == "open" and session["expires_at"] <= account.now():
            _end(account, session)


def _end(account: Account, session: Shape) -> None:
    """Its PaymentIntent, where a customer has tried to pay, ends first."""
    account.changed(session, status="expired", url=None)
    if session["payment_intent"]:
        intents.end(account, account.intents[session["payment_intent"]], None)
    account.emit("checkout.session.expired", session)


# --- What customers do on the page ----------------------------------------------------------------------------------


def pay(account: Account, session_id: str, card: str) -> bool:
    """False when the card is declined: the page stays open for another one. The PaymentIntent comes into being with
    the first attempt (docs.stripe.com/changelog: 2022-08-01)."""
    session = account.sessions[session_id]
    assert session["status"] == "open", "the page is closed"
    intent = _intent_of(account, session)
    intent["payment_method"] = card
    try:
        intents.confirm(account, intent, return_url=session["success_url"])
    except Refusal:
        return False
    _complete(account, session, intent, card)
    return True


def _intent_of(account: Account, session: Shape) -> Shape:
    if session["payment_intent"] is None:
        data = account.session_intent_data[session["id"]]
        made: dict[str, Any] = {
            "amount": session["amount_total"],
            "currency": session["currency"],
            "capture_method": data.get("capture_method", "automatic_async"),
            "metadata": data.get("metadata", {}),
        }
        account.changed(session, payment_intent=intents.new(account, **made)["id"])
    return account.intents[session["payment_intent"]]


def _complete(account: Account, session: Shape, intent: Shape, card: str) -> None:
    is_paid = card != SLOW_DEBIT and intent["capture_method"] != "manual"
    account.changed(session, status="complete", payment_status="paid" if is_paid else "unpaid", url=None)
    account.emit("checkout.session.completed", session)


def decide(account: Account, session_id: str, *, is_paid: bool) -> None:
    """Days later: what was processing succeeds or fails."""
    session = account.sessions[session_id]
    intent = account.intents[session["payment_intent"]]
    if is_paid:
        intents.succeed(account, intent)
        account.changed(session, payment_status="paid")
        account.emit("checkout.session.async_payment_succeeded", session)
    else:
        intents.fail(account, intent, {"code": "payment_method_provider_decline"})
        account.emit("checkout.session.async_payment_failed", session)
