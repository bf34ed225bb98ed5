"""Refunds and disputes (docs.stripe.com/refunds, docs.stripe.com/disputes)."""

from typing import Any

from tests.support.stripe import amounts, application_fees
from tests.support.stripe.account import StripeAccount
from tests.support.stripe.messages import ErrorResponse
from tests.support.stripe.specification import JsonObject

# Statuses in which the customer gets no money (docs.stripe.com/api/refunds/object).
UNPAID_STATUSES = ("failed", "canceled")


def create_refund(account: StripeAccount, params: JsonObject) -> JsonObject:
    """docs.stripe.com/api/refunds/create: at most what was captured and not refunded."""
    intent = account.get_intent(params["payment_intent"])
    charge = account.charges.get(intent["latest_charge"] or "")
    # Also before the last capture: docs.stripe.com/payments/multicapture#refunds
    if charge is None or not (charge["captured"] or charge["amount_captured"]):
        raise ErrorResponse(400, f"This PaymentIntent ({intent['id']}) has no successful charge to refund.")
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise ErrorResponse(400, "Charge has already been refunded.", code="charge_already_refunded")
    amount = params.get("amount", left)
    amounts.require_multiple_of_ten(amount, intent["currency"], "amount")
    if amount > left:
        raise ErrorResponse(400, "Refund amount is greater than unrefunded amount on charge.", param="amount")
    if params.get("refund_application_fee"):
        application_fees.give_back(account, charge, amount, charge["amount_captured"])
    refund = account.create_object(
        "refund",
        "re",
        amount=amount,
        charge=charge["id"],
        currency=intent["currency"],
        destination_details={"card": {"type": "refund"}, "type": "card"},
        metadata=params.get("metadata", {}),
        payment_intent=intent["id"],
        reason=params.get("reason"),
        status=account.refund_status,
    )
    account.refunds[refund["id"]] = refund
    account.emit_event("refund.created", refund)
    if refund["status"] not in UNPAID_STATUSES:
        _book_on_charge(account, charge, amount)
        account.emit_event("charge.refunded", charge)
    return refund


def settle_refund(account: StripeAccount, refund_id: str, status: str, **fields: Any) -> JsonObject:
    """Ends a refund later, also one that had succeeded: the customer's bank may return it
    (docs.stripe.com/refunds#failed-refunds)."""
    refund = account.refunds[refund_id]
    was_paid, is_paid = (each not in UNPAID_STATUSES for each in (refund["status"], status))
    account.update_object(refund, status=status, **fields)
    if was_paid != is_paid:
        _book_on_charge(account, account.charges[refund["charge"]], refund["amount"] * (1 if is_paid else -1))
    for kind in ("refund.updated", "charge.refund.updated"):
        account.emit_event(kind, refund)
    if status == "failed":
        account.emit_event("refund.failed", refund)
    return refund


def _book_on_charge(account: StripeAccount, charge: JsonObject, amount: int) -> None:
    refunded = charge["amount_refunded"] + amount
    account.update_object(charge, amount_refunded=refunded, refunded=refunded == charge["amount_captured"])
