"""Disputes at PayPal, and the events about them.

The package of `specification` has no disputes. Their fields and values here are those of PayPal's OpenAPI specification
(github.com/paypal/paypal-rest-api-specifications, openapi/customer_disputes_v1.json, read in November 2026); every
event is checked against them. Which of them we use is less: what money a dispute moves is in the help centre
(paypal.com, "My buyer filed a dispute": the funds are held; a full refund closes the dispute).
"""

import secrets
from copy import deepcopy
from decimal import Decimal
from typing import TYPE_CHECKING

import jsonschema_rs

from tests.support.paypal.specification import JsonObject, NotPublished
from tests.support.paypal.values import build_link, format_time

if TYPE_CHECKING:
    from tests.support.paypal.account import PayPalAccount

STATUSES = (
    "OPEN",
    "WAITING_FOR_BUYER_RESPONSE",
    "WAITING_FOR_SELLER_RESPONSE",
    "UNDER_REVIEW",
    "RESOLVED",
    "OTHER",
)
STAGES = ("INQUIRY", "CHARGEBACK", "PRE_ARBITRATION", "ARBITRATION")
OUTCOMES = (
    "RESOLVED_BUYER_FAVOUR",
    "RESOLVED_SELLER_FAVOUR",
    "RESOLVED_WITH_PAYOUT",
    "CANCELED_BY_BUYER",
    "ACCEPTED",
    "DENIED",
    "NONE",
)
REASONS = (
    "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
    "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED",
    "UNAUTHORISED",
    "CREDIT_NOT_PROCESSED",
    "DUPLICATE_TRANSACTION",
    "INCORRECT_AMOUNT",
    "PAYMENT_BY_OTHER_MEANS",
    "CANCELED_RECURRING_BILLING",
    "PROBLEM_WITH_REMITTANCE",
    "OTHER",
)
_ID = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[A-Za-z0-9-]+$"}
_TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
_MONEY = {
    "type": "object",
    "properties": {
        "currency_code": {"type": "string", "minLength": 3, "maxLength": 3},
        "value": {"type": "string", "maxLength": 32, "pattern": r"^((-?[0-9]+)|(-?([0-9]+)?[.][0-9]+))$"},
    },
    "required": ["currency_code", "value"],
    "additionalProperties": False,
}
_TRANSACTION = {
    "type": "object",
    "properties": {
        "buyer_transaction_id": _ID,
        "seller_transaction_id": _ID,
        "create_time": _TIME,
        "transaction_status": {
            "enum": [
                *("COMPLETED", "UNCLAIMED", "DENIED", "FAILED", "HELD", "PENDING", "PARTIALLY_REFUNDED"),
                *("REFUNDED", "REVERSED", "CANCELLED"),
            ]
        },
        "gross_amount": _MONEY,
        "custom": {"type": "string", "minLength": 1, "maxLength": 2000},
        "invoice_number": {"type": "string", "pattern": r"^[A-Za-z0-9:\-|]+$", "maxLength": 127},
        "seller": {"type": "object", "properties": {"merchant_id": {"type": "string"}}},
    },
    "additionalProperties": False,
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "dispute_id": _ID,
        "create_time": _TIME,
        "update_time": _TIME,
        "disputed_transactions": {"type": "array", "items": _TRANSACTION, "minItems": 1, "maxItems": 1000},
        "reason": {"enum": list(REASONS)},
        "status": {"enum": list(STATUSES)},
        "dispute_amount": _MONEY,
        "dispute_outcome": {
            "type": "object",
            "properties": {"outcome_code": {"enum": list(OUTCOMES)}, "amount_refunded": _MONEY},
            "additionalProperties": False,
        },
        "dispute_life_cycle_stage": {"enum": list(STAGES)},
        "dispute_channel": {"enum": ["INTERNAL", "EXTERNAL", "ALERT"]},
        "seller_response_due_date": _TIME,
        "buyer_response_due_date": _TIME,
        "links": {"type": "array", "minItems": 1, "maxItems": 10},
    },
    "additionalProperties": False,
}
_VALIDATOR = jsonschema_rs.Draft202012Validator(_SCHEMA)


def require_published_dispute(dispute: JsonObject) -> None:
    """Raises `NotPublished`."""
    if faults := [
        f"{'.'.join(map(str, each.instance_path))}: {each.message}"
        for each in _VALIDATOR.iter_errors(dispute)
    ]:
        raise NotPublished("not as PayPal publishes disputes:\n" + "\n".join(faults))


def open_dispute(
    account: "PayPalAccount",
    capture_id: str,
    value: str = "",
    *,
    stage: str = "CHARGEBACK",
    reason: str = "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
) -> JsonObject:
    """The customer disputes the capture or a part of it."""
    capture = account.captures[capture_id]
    dispute_id, now = f"PP-D-{secrets.randbelow(10**9)}", format_time(account.now())
    currency = capture["amount"]["currency_code"]
    dispute: JsonObject = {
        "dispute_id": dispute_id,
        "create_time": now,
        "update_time": now,
        "disputed_transactions": [
            {
                "seller_transaction_id": capture_id,
                "transaction_status": "COMPLETED",
                "gross_amount": dict(capture["amount"]),
                "seller": {"merchant_id": "5DKMSLBCXPGRA"},
            }
        ],
        "reason": reason,
        "status": "OPEN" if stage == "INQUIRY" else "WAITING_FOR_SELLER_RESPONSE",
        "dispute_amount": {"currency_code": currency, "value": value or capture["amount"]["value"]},
        "dispute_life_cycle_stage": stage,
        "dispute_channel": "INTERNAL",
        "seller_response_due_date": format_time(account.now() + account.RESPONSE_TIME),
        "links": [build_link(f"https://api-m.sandbox.paypal.com/v1/customer/disputes/{dispute_id}", "self")],
    }
    account.disputes[dispute_id] = dispute
    _report(account, "CUSTOMER.DISPUTE.CREATED", dispute)
    return dispute


def change_dispute(account: "PayPalAccount", dispute_id: str, **changes: object) -> None:
    """PayPal or the customer moves it on: `status`, `dispute_life_cycle_stage`, `seller_response_due_date`."""
    dispute = account.disputes[dispute_id]
    dispute.update(changes, update_time=format_time(account.now()))
    _report(account, "CUSTOMER.DISPUTE.UPDATED", dispute)


def resolve_dispute(account: "PayPalAccount", dispute_id: str, outcome: str) -> None:
    """PayPal decides. In the customer's favour it takes what the refunds have left of the disputed amount."""
    dispute = account.disputes[dispute_id]
    capture_id = get_capture_id(dispute)
    result: JsonObject = {"outcome_code": outcome}
    if outcome in ("RESOLVED_BUYER_FAVOUR", "ACCEPTED"):
        taken = min(Decimal(dispute["dispute_amount"]["value"]), account.get_refundable(capture_id))
        account.dispute_taken[dispute_id] = taken
        result["amount_refunded"] = {**dispute["dispute_amount"], "value": f"{taken:.2f}"}
    _end(account, dispute, result)


def close_refunded_disputes(account: "PayPalAccount", capture_id: str) -> None:
    """ "If you send a full refund, the dispute is closed": in the customer's favour, and nothing more is taken."""
    if account.get_refundable(capture_id) > 0:
        return
    for dispute in list(account.disputes.values()):
        if get_capture_id(dispute) == capture_id and dispute["status"] != "RESOLVED":
            outcome = {
                "outcome_code": "RESOLVED_BUYER_FAVOUR",
                "amount_refunded": dict(dispute["dispute_amount"]),
            }
            _end(account, dispute, outcome)


def accept_offer(account: "PayPalAccount", dispute_id: str, value: str) -> None:
    """The customer accepts the merchant's offer of a part: PayPal refunds it from the merchant's account."""
    dispute = account.disputes[dispute_id]
    amount = {**dispute["dispute_amount"], "value": value}
    account.refund(get_capture_id(dispute), {"amount": amount})
    _end(account, dispute, {"outcome_code": "RESOLVED_BUYER_FAVOUR", "amount_refunded": amount})


def get_capture_id(dispute: JsonObject) -> str:
    capture_id: str = dispute["disputed_transactions"][0]["seller_transaction_id"]
    return capture_id


def read_held(account: "PayPalAccount", dispute: JsonObject) -> Decimal:
    """What the dispute holds back or has taken: nothing in an inquiry."""
    if dispute["status"] == "RESOLVED":
        return account.dispute_taken.get(dispute["dispute_id"], Decimal(0))
    is_inquiry = dispute["dispute_life_cycle_stage"] == "INQUIRY"
    return Decimal(0) if is_inquiry else Decimal(dispute["dispute_amount"]["value"])


def _end(account: "PayPalAccount", dispute: JsonObject, outcome: JsonObject) -> None:
    dispute.update(status="RESOLVED", dispute_outcome=outcome, update_time=format_time(account.now()))
    dispute.pop("seller_response_due_date", None)
    _report(account, "CUSTOMER.DISPUTE.RESOLVED", dispute)


def _report(account: "PayPalAccount", event_type: str, dispute: JsonObject) -> None:
    require_published_dispute(dispute)
    account.add_event(event_type, "dispute", deepcopy(dispute))
