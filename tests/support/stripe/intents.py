"""PaymentIntents and their charges (docs.stripe.com/payments/paymentintents/lifecycle)."""

from copy import deepcopy
from typing import Any

from tests.support.stripe import amounts, application_fees
from tests.support.stripe.account import StripeAccount
from tests.support.stripe.messages import ErrorResponse, InvalidParameter
from tests.support.stripe.specification import JsonObject, build_null_fields

# Payment methods for tests (docs.stripe.com/testing).
VISA, DECLINED_CARD = "pm_card_visa", "pm_card_chargeCustomerFail"
CHALLENGED_CARD = "pm_card_authenticationRequired"
SLOW_DEBIT = "pm_usBankAccount"  # the bank decides days later
VOUCHER = "pm_oxxo"  # the customer pays at a store, days later; only on a page here
WITHOUT_CARD = (SLOW_DEBIT, VOUCHER)
VOUCHER_SECONDS = 3 * 86_400  # docs.stripe.com/payments/oxxo/accept-a-payment: `expires_after_days`
# docs.stripe.com/payments/incremental-authorization#test-your-integration
INCREMENTAL_CARD = "pm_card_debit_incrementalAuthAuthorized"
CARDS = (VISA, DECLINED_CARD, CHALLENGED_CARD, SLOW_DEBIT, INCREMENTAL_CARD)
# The cards that offer a feature, if it was requested (docs.stripe.com/payments/multicapture#test-your-integration).
FEATURE_CARDS = {"multicapture": (VISA,), "incremental_authorization": (INCREMENTAL_CARD,)}
MAX_CAPTURES, MAX_INCREMENTS = 50, 10
# docs.stripe.com/api/payment_intents/cancel
CANCELLABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")

_REDIRECTS = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "
    "payment methods might redirect your customer off of your page, you must provide a `return_url`."
)


def create_intent(account: StripeAccount, params: JsonObject) -> JsonObject:
    amount, currency = params["amount"], params["currency"]
    amounts.require_chargeable(amount, currency)
    _require_return_url(params)
    application_fees.require_allowed(account, params, amount)
    if params.get("customer") and params["customer"] not in account.customers:
        raise InvalidParameter("No such customer", code="resource_missing", param="customer")
    if params.get("payment_method") not in (None, *CARDS):
        raise InvalidParameter("No such PaymentMethod", code="resource_missing", param="payment_method")
    intent = new_intent(
        account,
        amount=amount,
        currency=currency,
        capture_method=params.get("capture_method", "automatic_async"),
        metadata=params.get("metadata", {}),
        application_fee_amount=params.get("application_fee_amount"),
        customer=params.get("customer"),
        payment_method=params.get("payment_method"),
        payment_method_options=build_card_options(params.get("payment_method_options", {})),
        automatic_payment_methods={"allow_redirects": "always", **params.get("automatic_payment_methods", {})}
        if params.get("automatic_payment_methods")
        else {"allow_redirects": "always", "enabled": True},
    )
    if params.get("confirm"):
        return confirm_intent(account, intent, return_url=params.get("return_url"))
    return intent


def _require_return_url(params: JsonObject) -> None:
    """docs.stripe.com/api/payment_intents/create: `return_url`, `automatic_payment_methods`."""
    never_redirects = params.get("automatic_payment_methods", {}).get("allow_redirects") == "never"
    has_chosen_types = params.get("payment_method_types")
    if (
        params.get("confirm")
        and not params.get("return_url")
        and not never_redirects
        and not has_chosen_types
    ):
        raise InvalidParameter(_REDIRECTS, param="return_url")
    if params.get("return_url") and not params.get("confirm"):
        raise InvalidParameter("`return_url` can only be used with `confirm=true`.", param="return_url")


def new_intent(account: StripeAccount, **fields: Any) -> JsonObject:
    intent = account.create_object(
        "payment_intent",
        "pi",
        **{
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": account.application or None,
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
    account.emit_event("payment_intent.created", intent)
    return intent


def confirm_intent(account: StripeAccount, intent: JsonObject, *, return_url: str | None) -> JsonObject:
    """docs.stripe.com/api/payment_intents/confirm. Raises `ErrorResponse` (402) when the card is declined."""
    match intent["payment_method"]:
        case str(card) if card == DECLINED_CARD:
            return _decline_card(
                account, intent, {"code": "card_declined", "decline_code": "generic_decline"}
            )
        case str(card) if card == CHALLENGED_CARD:
            action = {
                "type": "redirect_to_url",
                "redirect_to_url": {
                    "return_url": return_url,
                    "url": f"https://hooks.stripe.com/{intent['id']}",
                },
            }
            account.update_object(intent, status="requires_action", next_action=action)
            account.emit_event("payment_intent.requires_action", intent)
        case str(voucher) if voucher == VOUCHER:
            _issue_voucher(account, intent)
        case str(card) if card == SLOW_DEBIT:
            account.update_object(
                intent, status="processing", latest_charge=_create_charge(account, intent)["id"]
            )
            account.emit_event("payment_intent.processing", intent)
        case _:
            authorize_intent(account, intent)
    return intent


def _issue_voucher(account: StripeAccount, intent: JsonObject) -> None:
    """docs.stripe.com/payments/oxxo/accept-a-payment, docs.stripe.com/payments/boleto/accept-a-payment: the intent
    requires an action until the customer has paid the voucher, or the voucher has expired."""
    assert intent["currency"] == "mxn", "OXXO takes no other currency"
    voucher = {
        "expires_after": account.now() + VOUCHER_SECONDS,
        "hosted_voucher_url": f"https://payments.stripe.com/oxxo/voucher/{intent['id']}",
        "number": "01234567890123456789012345678901",
    }
    action = {"type": "oxxo_display_details", "oxxo_display_details": voucher}
    account.update_object(intent, status="requires_action", next_action=action)
    account.emit_event("payment_intent.requires_action", intent)


def authorize_intent(account: StripeAccount, intent: JsonObject) -> None:
    """The bank agrees: the money is captured, or only authorized
    (docs.stripe.com/payments/place-a-hold-on-a-payment-method)."""
    charge = _create_charge(account, intent)
    intent.update(latest_charge=charge["id"], next_action=None, last_payment_error=None)
    if intent["capture_method"] == "manual":
        account.update_object(intent, status="requires_capture", amount_capturable=intent["amount"])
        account.emit_event("payment_intent.amount_capturable_updated", intent)
    else:
        _take_money(account, intent, intent["amount"])


def complete_3d_secure(account: StripeAccount, intent: JsonObject, *, passed: bool) -> None:
    """The customer returns from 3-D Secure (docs.stripe.com/payments/3d-secure/authentication-flow)."""
    assert intent["status"] == "requires_action", intent["status"]
    if passed:
        authorize_intent(account, intent)
    else:
        fail_intent(account, intent, {"code": "payment_intent_authentication_failure"})


def fail_intent(account: StripeAccount, intent: JsonObject, reason: JsonObject) -> None:
    """An attempt fails, and the intent requires another payment method
    (docs.stripe.com/payments/paymentintents/lifecycle)."""
    error = {"type": "card_error", "message": "The payment failed.", **reason}
    account.update_object(
        intent,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_payment_error=error,
    )
    account.emit_event("payment_intent.payment_failed", intent)


def succeed_intent(account: StripeAccount, intent: JsonObject) -> None:
    """The bank decides a payment in processing, or the customer pays the voucher."""
    if intent["payment_method"] == VOUCHER:
        authorize_intent(account, intent)
        return
    assert intent["status"] == "processing", intent["status"]
    _take_money(account, intent, intent["amount"])


def capture_intent(account: StripeAccount, intent_id: str, params: JsonObject) -> JsonObject:
    """docs.stripe.com/api/payment_intents/capture, docs.stripe.com/payments/multicapture"""
    intent = account.get_intent(intent_id)
    amount = params.get("amount_to_capture", intent["amount_capturable"])
    is_final = params.get("final_capture", True)
    amounts.require_multiple_of_ten(amount, intent["currency"], "amount_to_capture")
    if intent["status"] != "requires_capture":
        raise _unexpected_state(intent, "captured")
    if amount > intent["amount_capturable"]:
        raise InvalidParameter(
            "More than can be captured.", code="amount_too_large", param="amount_to_capture"
        )
    if not is_final and not _is_available(account, intent, "multicapture"):
        raise InvalidParameter("Multicapture is not available.", param="final_capture")
    if amount == 0 and not (is_final and intent["amount_received"]):  # only to release what is left
        raise InvalidParameter("Invalid integer", code="parameter_invalid_integer", param="amount_to_capture")
    assert is_final or not intent["application_fee_amount"], "the fake does not know fees of several captures"
    charge = account.charges[intent["latest_charge"]]
    account.captures[charge["id"]] = account.captures.get(charge["id"], 0) + 1
    assert account.captures[charge["id"]] <= MAX_CAPTURES, "beyond the documented limit"
    if "application_fee_amount" in params:
        application_fees.require_allowed(account, params, intent["amount"])
        intent["application_fee_amount"] = params["application_fee_amount"]
    if is_final:
        _take_money(account, intent, intent["amount_received"] + amount)
    else:
        _take_part(account, intent, amount)
    return intent


def _take_part(account: StripeAccount, intent: JsonObject, amount: int) -> None:
    """A capture that is not final: docs.stripe.com/payments/multicapture#webhooks"""
    charge = account.charges[intent["latest_charge"]]
    account.update_object(charge, amount_captured=charge["amount_captured"] + amount)
    account.update_object(
        intent,
        amount_received=intent["amount_received"] + amount,
        amount_capturable=intent["amount_capturable"] - amount,
    )
    account.emit_event("charge.updated", charge)
    account.emit_event("payment_intent.amount_capturable_updated", intent)


def expire_authorization(account: StripeAccount, intent: JsonObject) -> None:
    """The authorization window ends: docs.stripe.com/payments/multicapture#final-capture"""
    assert intent["status"] == "requires_capture", intent["status"]
    if intent["amount_received"]:
        _take_money(account, intent, intent["amount_received"])
    else:
        end_intent(account, intent, "expired")


def increment_authorization(account: StripeAccount, intent_id: str, params: JsonObject) -> JsonObject:
    """docs.stripe.com/payments/incremental-authorization"""
    intent = account.get_intent(intent_id)
    amount = params["amount"]
    amounts.require_multiple_of_ten(amount, intent["currency"], "amount")
    if intent["status"] != "requires_capture":
        raise _unexpected_state(intent, "incremented")
    if intent["amount_received"] or not _is_available(account, intent, "incremental_authorization"):
        raise ErrorResponse(400, "This PaymentIntent does not support incremental authorization.")
    if amount <= intent["amount"]:
        raise InvalidParameter("The amount must be greater than the authorized amount.", param="amount")
    account.increments[intent_id] = account.increments.get(intent_id, 0) + 1
    if account.increments[intent_id] > MAX_INCREMENTS:
        raise ErrorResponse(400, "Too many incremental authorization attempts.")
    if account.declines_increments:
        reason = {"code": "card_declined", "decline_code": "generic_decline"}
        raise ErrorResponse(402, "Your card was declined.", kind="card_error", **reason)
    account.update_object(account.charges[intent["latest_charge"]], amount=amount)
    account.update_object(intent, amount=amount, amount_capturable=amount)
    return intent


def build_card_options(options: JsonObject) -> JsonObject:
    """The options as a PaymentIntent shows them."""
    if "card" not in options:
        return {}
    return {"card": {**build_null_fields("payment_intent_payment_method_options_card"), **options["card"]}}


def _is_available(account: StripeAccount, intent: JsonObject, feature: str) -> bool:
    details = account.charges[intent["latest_charge"]]["payment_method_details"]
    return bool(details["card"][feature]["status"] == "available")


def _build_card_details(intent: JsonObject) -> JsonObject:
    """A feature that was not requested is unavailable (docs.stripe.com/payments/incremental-authorization)."""
    requested = intent["payment_method_options"].get("card", {})
    features = {
        feature: {
            "status": "available"
            if requested.get(f"request_{feature}") == "if_available" and intent["payment_method"] in cards
            else "unavailable"
        }
        for feature, cards in FEATURE_CARDS.items()
    }
    card = {
        **build_null_fields("payment_method_details_card"),
        "brand": "visa",
        "exp_month": 12,
        "exp_year": 2040,
        "last4": "4242",
    }
    return {"type": "card", "card": {**card, **features}}


def cancel_intent(account: StripeAccount, intent_id: str, params: JsonObject) -> JsonObject:
    """docs.stripe.com/api/payment_intents/cancel: of a Checkout Session, only an intent that requires a capture can be
    cancelled directly."""
    intent = account.get_intent(intent_id)
    assert not intent["amount_received"], "Stripe does not document the cancellation after a capture"
    session = account.find_session_of_intent(intent_id)
    if session is not None and intent["status"] != "requires_capture":
        message = "You cannot cancel the PaymentIntent of a Checkout Session. Expire the session instead."
        raise ErrorResponse(
            400, message, code="payment_intent_unexpected_state", payment_intent=deepcopy(intent)
        )
    if intent["status"] not in CANCELLABLE:
        raise _unexpected_state(intent, "canceled")
    end_intent(account, intent, params.get("cancellation_reason"))
    return intent


def end_intent(account: StripeAccount, intent: JsonObject, reason: str | None) -> None:
    account.update_object(
        intent,
        status="canceled",
        canceled_at=account.now(),
        cancellation_reason=reason,
        amount_capturable=0,
        next_action=None,
    )
    account.emit_event("payment_intent.canceled", intent)


def _unexpected_state(intent: JsonObject, operation: str) -> ErrorResponse:
    message = f"This PaymentIntent could not be {operation} because it has a status of {intent['status']}."
    return ErrorResponse(
        400, message, code="payment_intent_unexpected_state", payment_intent=deepcopy(intent)
    )


def _take_money(account: StripeAccount, intent: JsonObject, amount: int) -> None:
    charge = account.charges[intent["latest_charge"]]
    account.update_object(charge, amount_captured=amount, captured=True, paid=True, status="succeeded")
    application_fees.collect(account, intent, charge, amount)
    account.update_object(intent, status="succeeded", amount_received=amount, amount_capturable=0)
    account.emit_event("charge.succeeded", charge)
    account.emit_event("payment_intent.succeeded", intent)


def _create_charge(account: StripeAccount, intent: JsonObject) -> JsonObject:
    charge = account.create_object(
        "charge",
        "ch",
        amount=intent["amount"],
        amount_captured=0,
        application=account.application or None,
        application_fee_amount=intent["application_fee_amount"],
        amount_refunded=0,
        billing_details=build_null_fields("billing_details"),
        captured=False,
        currency=intent["currency"],
        disputed=False,
        livemode=False,
        metadata=intent["metadata"],
        paid=intent["payment_method"] != SLOW_DEBIT,
        payment_intent=intent["id"],
        payment_method=intent["payment_method"],
        payment_method_details=_build_card_details(intent)
        if intent["payment_method"] not in WITHOUT_CARD
        else None,
        refunded=False,
        status="pending" if intent["payment_method"] == SLOW_DEBIT else "succeeded",
    )
    account.charges[charge["id"]] = charge
    return charge


def _decline_card(account: StripeAccount, intent: JsonObject, reason: JsonObject) -> JsonObject:
    fail_intent(account, intent, reason)
    message = "Your card was declined."
    raise ErrorResponse(402, message, kind="card_error", payment_intent=deepcopy(intent), **reason)
