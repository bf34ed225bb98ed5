"""Writes Stripe's balance transactions of one UTC day, one JSON object a line (docs/SETTLEMENTS.md).

Stripe has no daily file, so this one ends with the number of its objects. For each automatic payout of the day, the
balance transactions that it pays are listed too (docs.stripe.com/api/balance_transactions/list, `payout`). Customers'
data of the expanded sources is left out.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import stripe

from channels.base import ListingFailed, StatementRequest, UnexpectedFormat
from channels.stripe import config, lookup

FORMATS = ("stripe",)
_FIELDS = (
    "id",
    "object",
    "type",
    "reporting_category",
    "amount",
    "fee",
    "net",
    "currency",
    "exchange_rate",
    "created",
    "available_on",
    "fee_details",
    "status",
)
_SOURCE_FIELDS = ("id", "object", "payment_intent", "charge", "metadata", "amount", "currency", "automatic")


def write_statement(request: StatementRequest, target: BinaryIO) -> bool:
    """Always writes a file: a day without movements has an empty one. Raises `ListingFailed`."""
    start = dt.datetime.combine(request.day, dt.time(), dt.UTC)
    end = start + dt.timedelta(days=1)
    if dt.datetime.now(dt.UTC) < end:
        raise ListingFailed(f"the day {request.day} is not over")
    count = 0
    try:
        api = config.build_client(request.account, request.timeout_seconds)
        created = {"gte": int(start.timestamp()), "lt": int(end.timestamp())}
        payouts = []
        for transaction in _list(api, {"created": created, "expand": ["data.source"]}):
            if transaction.get("type") == "payout" and _is_automatic(transaction):
                payouts.append(_get_source_id(transaction))
            count += _write(target, _trim(transaction))
        for payout_no in payouts:
            for transaction in _list(api, {"payout": payout_no}):
                if transaction.get("type") != "payout":
                    item = {name: transaction.get(name) for name in ("id", "net", "currency", "type")}
                    count += _write(
                        target, {"object": "payout_item", "payout": payout_no, "balance_transaction": item}
                    )
    except (stripe.StripeError, UnexpectedFormat) as error:
        raise ListingFailed(f"Stripe's balance transactions were not read completely: {error}") from error
    _write(target, {"object": "end_of_statement", "count": count})
    return True


def _list(api: stripe.StripeClient, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    wanted: Any = {**params, "limit": lookup.PAGE_SIZE}
    for transaction in api.v1.balance_transactions.list(wanted).auto_paging_iter():
        yield transaction.to_dict()


def _is_automatic(transaction: Mapping[str, Any]) -> bool:
    """Stripe lists the transactions of automatic payouts only."""
    source = transaction.get("source")
    return isinstance(source, dict) and bool(source.get("automatic"))


def _get_source_id(transaction: Mapping[str, Any]) -> str:
    source = transaction.get("source")
    return str(source.get("id") if isinstance(source, dict) else source)


def _trim(transaction: Mapping[str, Any]) -> dict[str, Any]:
    source = transaction.get("source")
    kept = {name: transaction.get(name) for name in _FIELDS}
    if isinstance(source, dict):
        source = {name: source[name] for name in _SOURCE_FIELDS if name in source}
    return {**kept, "source": source}


def _write(target: BinaryIO, record: Mapping[str, Any]) -> int:
    target.write(json.dumps(record, separators=(",", ":"), sort_keys=True).encode() + b"\n")
    return 1
