"""What moved money at PayPal: the transaction search, and the sums of one payment of ours."""

import datetime as dt
from decimal import Decimal

from tests.support.paypal.account import PayPalAccount, read_payments
from tests.support.paypal.messages import ErrorResponse
from tests.support.paypal.specification import JsonObject
from tests.support.paypal.values import build_link, format_time

# "It takes a maximum of three hours for executed transactions to appear in the list transactions call."
LIST_LAG = dt.timedelta(hours=3)
MAX_RANGE = dt.timedelta(days=31)
_STATUSES = {
    "COMPLETED": "S",
    "PARTIALLY_REFUNDED": "S",
    "REFUNDED": "S",
    "PENDING": "P",
    "DECLINED": "D",
    "FAILED": "D",
    "CANCELLED": "V",
}


def search_transactions(account: PayPalAccount, query: JsonObject) -> JsonObject:
    since, until = (dt.datetime.fromisoformat(query[name]) for name in ("start_date", "end_date"))
    if until - since > MAX_RANGE:
        raise ErrorResponse(400, "INVALID_DATE_RANGE")
    found = [
        {"transaction_info": transaction}
        for transaction in _list_transactions(account)
        if since <= dt.datetime.fromisoformat(transaction["transaction_initiation_date"]) <= until
        and query.get("transaction_type") in (None, transaction["transaction_event_code"])
    ]
    size, page = int(query.get("page_size", 100)), int(query.get("page", 1))
    return {
        "transaction_details": found[(page - 1) * size : page * size],
        "account_number": "BFZYMUQFHMCK4",
        "start_date": query["start_date"],
        "end_date": query["end_date"],
        "last_refreshed_datetime": format_time(account.now() - LIST_LAG),
        "page": page,
        "total_items": len(found),
        "total_pages": -(-len(found) // size),
        "links": [build_link("https://api-m.sandbox.paypal.com/v1/reporting/transactions", "self")],
    }


def _list_transactions(account: PayPalAccount) -> list[JsonObject]:
    """Balance-affecting ones alone, as without `balance_affecting_records_only=N`."""
    listed: list[JsonObject] = []
    known = [(each, "T0006", "") for each in account.captures.values()]
    known += [(each, "T1107", account.capture_of[each["id"]]) for each in account.refunds.values()]
    for each, code, related in known:
        created_at = account.created_at[each["id"]]
        if created_at + LIST_LAG > account.now() or each["status"] in ("DECLINED", "FAILED"):
            continue
        amount = dict(each["amount"])
        if code == "T1107":
            amount["value"] = f"-{amount['value']}"
        transaction = {
            "transaction_id": each["id"],
            "transaction_event_code": code,
            "transaction_initiation_date": created_at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "transaction_updated_date": created_at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
            "transaction_amount": amount,
            "transaction_status": _STATUSES[each["status"]],
            **{
                name: each[field]
                for name, field in (("invoice_id", "invoice_id"), ("custom_field", "custom_id"))
                if field in each
            },
        }
        if related:
            transaction |= {"paypal_reference_id": related, "paypal_reference_id_type": "TXN"}
        listed.append(transaction)
    return sorted(listed, key=lambda each: str(each["transaction_initiation_date"]))


def read_amounts(account: PayPalAccount, reference: str) -> tuple[Decimal | int, Decimal | int]:
    """Returns what was captured and refunded for a payment of ours, over all its orders."""
    captured: Decimal | int = 0
    refunded: Decimal | int = 0
    for order in account.orders.values():
        if order["purchase_units"][0].get("custom_id") != reference:
            continue
        for capture in read_payments(order).get("captures", []):
            if capture["status"] in ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"):
                captured += Decimal(capture["amount"]["value"])
        for refund in read_payments(order).get("refunds", []):
            if refund["status"] == "COMPLETED":
                refunded += Decimal(refund["amount"]["value"])
    return captured, refunded
