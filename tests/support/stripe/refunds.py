"""Refunds and disputes (docs.stripe.com/refunds, docs.stripe.com/disputes)."""

from typing import Any

from tests.support.stripe import money
from tests.support.stripe.account import Account
from tests.support.stripe.requests import Refusal
from tests.support.stripe.spec import Shape, blank

GIVEN_NOTHING = ("failed", "canceled")


def create(account: Account, params: Shape) -> Shape:
    intent = account.intent(params["payment_intent"])
    charge = account.charges.get(intent["latest_charge"] or "")
    if charge is None or not charge["captured"]:
        raise Refusal(400, f"This PaymentIntent ({intent['id']}) has no successful charge to refund.")
    left = charge["amount_captured"] - charge["amount_refunded"]
    if left == 0:
        raise Refusal(400, "Charge has already been refunded.", code="charge_already_refunded")
    amount = params.get("amount", left)
    money.require_steps(amount, intent["currency"], "amount")
    if amount > left:
        raise Refusal(400, "Refund amount is greater than unrefunded amount on charge.", param="amount")
    refund = account.made(
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
    account.emit("refund.created", refund)
    if refund["status"] not in GIVEN_NOTHING:
        _book(account, charge, amount)
        account.emit("charge.refunded", charge)
    return refund


def settle(account: Account, refund_id: str, status: str, **fields: Any) -> Shape:
    """A refund ends later, also after it had succeeded: the bank of the customer may send it back."""
    refund = account.refunds[refund_id]
    was_given, is_given = (each not in GIVEN_NOTHING for each in (refund["status"], status))
    account.changed(refund, status=status, **fields)
    if was_given != is_given:
        _book(account, account.charges[refund["charge"]], refund["amount"] * (1 if is_given else -1))
    for kind in ("refund.updated", "charge.refund.updated"):
        account.emit(kind, refund)
    if status == "failed":
        account.emit("refund.failed", refund)
    return refund


def _book(account: Account, charge: Shape, amount: int) -> None:
    refunded = charge["amount_refunded"] + amount
    account.changed(charge, amount_refunded=refunded, refunded=refunded == charge["amount_captured"])


def dispute(account: Account, intent_id: str, **fields: Any) -> Shape:
    """The customer takes the money back through their bank."""
    intent = account.intents[intent_id]
    made = account.made(
        "dispute",
        "dp",
        **{
            "amount": intent["amount_received"],
            "balance_transactions": [],
            "charge": intent["latest_charge"],
            "currency": intent["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {**blank("dispute_evidence"), "enhanced_evidence": {}},
            "evidence_details": {
                "due_by": account.now() + 7 * 86400,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": intent_id,
            "reason": "fraudulent",
            "status": "needs_response",
            **fields,
        },
    )
    account.disputes[made["id"]] = made
    account.changed(account.charges[intent["latest_charge"]], disputed=True)
    account.emit("charge.dispute.created", made)
    return made
