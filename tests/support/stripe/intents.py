"""PaymentIntents and their charges (docs.stripe.com/payments/paymentintents/lifecycle)."""

from copy import deepcopy
from typing import Any

from tests.support.stripe import money
from tests.support.stripe.account import Account
from tests.support.stripe.requests import Invalid, Refusal
from tests.support.stripe.spec import Shape, blank

# docs.stripe.com/testing
VISA, DECLINED_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"
CHALLENGED_CARD = "pm_card_authenticationRequired"
SLOW_DEBIT = "pm_usBankAccount"  # decided days later
CARDS = (VISA, DECLINED_CARD, CHALLENGED_CARD, SLOW_DEBIT)
CANCELLABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")

_REDIRECTS = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "
    "payment methods might redirect your customer off of your page, you must provide a `return_url`."
)


def create(account: Account, params: Shape) -> Shape:
    amount, currency = params["amount"], params["currency"]
    money.require_chargeable(amount, currency)
    _require_way_back(params)
    if params.get("customer") and params["customer"] not in account.customers:
        raise Invalid("No such customer", code="resource_missing", param="customer")
    if params.get("payment_method") not in (None, *CARDS):
        raise Invalid("No such PaymentMethod", code="resource_missing", param="payment_method")
    intent = new(
        account,
        amount=amount,
        currency=currency,
        capture_method=params.get("capture_method", "automatic_async"),
        metadata=params.get("metadata", {}),
        customer=params.get("customer"),
        payment_method=params.get("payment_method"),
        automatic_payment_methods={"allow_redirects": "always", **params.get("automatic_payment_methods", {})}
        if params.get("automatic_payment_methods")
        else {"allow_redirects": "always", "enabled": True},
    )
    if params.get("confirm"):
        return confirm(account, intent, return_url=params.get("return_url"))
    return intent


def _require_way_back(params: Shape) -> None:
    """docs.stripe.com/api/payment_intents/create: `return_url`, `automatic_payment_methods`."""
    stays = params.get("automatic_payment_methods", {}).get("allow_redirects") == "never"
    chosen = params.get("payment_method_types")
    if params.get("confirm") and not params.get("return_url") and not stays and not chosen:
        raise Invalid(_REDIRECTS, param="return_url")
    if params.get("return_url") and not params.get("confirm"):
        raise Invalid("`return_url` can only be used with `confirm=true`.", param="return_url")


def new(account: Account, **fields: Any) -> Shape:
    intent = account.made(
        "payment_intent",
        "pi",
        **{
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "confirmation_method": "automatic",
            "livemode": False,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "status": "requires_confirmation" if fields.get("payment_method") else "requires_payment_method",
            **fields,
        },
    )
    intent["client_secret"] = f"{intent['id']}_secret_fake"
    account.intents[intent["id"]] = intent
    account.emit("payment_intent.created", intent)
    return intent


def confirm(account: Account, intent: Shape, *, return_url: str | None) -> Shape:
    """Raises `Refusal` (402) when the card is declined; the intent then asks for another way to pay."""
    match intent["payment_method"]:
        case str(card) if card == DECLINED_CARD:
            return _decline(account, intent, {"code": "card_declined", "decline_code": "generic_decline"})
        case str(card) if card == CHALLENGED_CARD:
            action = {
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "return_url": return_url,
                    "url": f"https://hooks.stripe.com/{intent['id']}",
                },
            }
            account.changed(intent, status="requires_action", next_action=action)
            account.emit("payment_intent.requires_action", intent)
        case str(card) if card == SLOW_DEBIT:
            account.changed(intent, status="processing", latest_charge=_charge(account, intent)["id"])
            account.emit("payment_intent.processing", intent)
        case _:
            authorize(account, intent)
    return intent


def authorize(account: Account, intent: Shape) -> None:
    """The bank agrees: the money is taken, or held for a capture."""
    charge = _charge(account, intent)
    intent.update(latest_charge=charge["id"], next_action=None, last_payment_error=None)
    if intent["capture_method"] == "manual":
        account.changed(intent, status="requires_capture", amount_capturable=intent["amount"])
        account.emit("payment_intent.amount_capturable_updated", intent)
    else:
        _take(account, intent, intent["amount"])


def answer_challenge(account: Account, intent: Shape, *, passed: bool) -> None:
    """The customer comes back from 3-D Secure."""
    assert intent["status"] == "requires_action", intent["status"]
    if passed:
        authorize(account, intent)
    else:
        intent["next_action"] = None
        fail(account, intent, {"code": "payment_intent_authentication_failure"})


def fail(account: Account, intent: Shape, reason: Shape) -> None:
    """An attempt to pay fails, at once or later: the intent asks for another way to pay."""
    error = {"type": "card_error", "message": "The payment failed.", **reason}
    account.changed(intent, status="requires_payment_method", payment_method=None, last_payment_error=error)
    account.emit("payment_intent.payment_failed", intent)


def succeed(account: Account, intent: Shape) -> None:
    """What was processing is decided."""
    assert intent["status"] == "processing", intent["status"]
    _take(account, intent, intent["amount"])


def capture(account: Account, intent_id: str, params: Shape) -> Shape:
    intent = account.intent(intent_id)
    amount = params.get("amount_to_capture", intent["amount_capturable"])
    money.require_steps(amount, intent["currency"], "amount_to_capture")
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "captured")
    if amount > intent["amount_capturable"]:
        raise Invalid("More than can be captured.", code="amount_too_large", param="amount_to_capture")
    _take(account, intent, amount)
    return intent


def cancel(account: Account, intent_id: str, params: Shape) -> Shape:
    """docs.stripe.com/api/payment_intents/cancel: that of an open Checkout Session ends with its session."""
    intent = account.intent(intent_id)
    session = account.session_of(intent_id)
    if session is not None and session["status"] == "open":
        message = "You cannot cancel the PaymentIntent of a Checkout Session. Expire the session instead."
        raise Refusal(400, message, code="payment_intent_unexpected_state", payment_intent=deepcopy(intent))
    if intent["status"] not in CANCELLABLE:
        raise _unexpected(intent, "canceled")
    end(account, intent, params.get("cancellation_reason"))
    return intent


def end(account: Account, intent: Shape, reason: str | None) -> None:
    account.changed(
        intent,
        status="canceled",
        canceled_at=account.now(),
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    account.emit("payment_intent.canceled", intent)


def _unexpected(intent: Shape, wish: str) -> Refusal:
    message = f"This PaymentIntent could not be {wish} because it has a status of {intent['status']}."
    return Refusal(400, message, code="payment_intent_unexpected_state", payment_intent=deepcopy(intent))


def _take(account: Account, intent: Shape, amount: int) -> None:
    charge = account.charges[intent["latest_charge"]]
    account.changed(charge, amount_captured=amount, captured=True, paid=True, status="succeeded")
    account.changed(intent, status="succeeded", amount_received=amount, amount_capturable=0)
    account.emit("charge.succeeded", charge)
    account.emit("payment_intent.succeeded", intent)


def _charge(account: Account, intent: Shape) -> Shape:
    charge = account.made(
        "charge",
        "ch",
        amount=intent["amount"],
        amount_captured=0,
        amount_refunded=0,
        billing_details=blank("billing_details"),
        captured=False,
        currency=intent["currency"],
        disputed=False,
        livemode=False,
        metadata=intent["metadata"],
        paid=intent["payment_method"] != SLOW_DEBIT,
        payment_intent=intent["id"],
        payment_method=intent["payment_method"],
        refunded=False,
        status="pending" if intent["payment_method"] == SLOW_DEBIT else "succeeded",
    )
    account.charges[charge["id"]] = charge
    return charge


def _decline(account: Account, intent: Shape, reason: Shape) -> Shape:
    fail(account, intent, reason)
    message = "Your card was declined."
    raise Refusal(402, message, kind="card_error", payment_intent=deepcopy(intent), **reason)
