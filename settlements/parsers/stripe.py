"""Stripe's balance transactions of a day, one JSON object a line.

The channel writes the file (`channels/stripe/statement_file.py`): Stripe has no file of its own with totals. It
has three kinds of objects: `balance_transaction`, as Stripe's API returns it with its source expanded; `payout_item`, a
balance transaction that an automatic payout of this day pays; `end_of_statement` with the number of objects before it.
docs.stripe.com/reports/balance-transaction-types and /reports/reporting-categories.
"""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO

from channels.stripe.amounts import from_stripe
from channels.stripe.metadata import PAYMENT_NO, REFUND_NO, read_reference
from settlements.models import LineKind
from settlements.parsers.base import (
    MAX_NUMBER,
    Parsed,
    ParsedLine,
    PayoutItem,
    StatedTotals,
    StatementIdentity,
    StatementRefused,
    Sums,
    compare_total,
    get_exponent,
)

MAX_LINE_BYTES = 1024 * 1024
MAX_TEXT = 255
_TYPES = {
    "charge": LineKind.PAYMENT,
    "payment": LineKind.PAYMENT,
    "payment_failure_refund": LineKind.PAYMENT,  # a payment that failed after it had succeeded
    "payment_reversal": LineKind.PAYMENT,
    "refund": LineKind.REFUND,
    "payment_refund": LineKind.REFUND,
    "refund_failure": LineKind.REFUND_REVERSAL,
    "application_fee": LineKind.APPLICATION_FEE,
    "application_fee_refund": LineKind.APPLICATION_FEE,
    "stripe_fee": LineKind.FEE,
    "stripe_fx_fee": LineKind.FEE,
    "tax_fee": LineKind.FEE,
    "payout": LineKind.PAYOUT,
    "payout_cancel": LineKind.PAYOUT,
    "payout_failure": LineKind.PAYOUT,
}
# These say more than the type: an adjustment is a dispute, a returned refund or a fee, and the uncaptured rest of an
# authorization is reported as a refund. Interchange and scheme fees (IC+ pricing) have a category of their own.
_CATEGORIES = {
    "dispute": LineKind.DISPUTE,
    "dispute_reversal": LineKind.DISPUTE_REVERSAL,
    "refund_failure": LineKind.REFUND_REVERSAL,
    "partial_capture_reversal": LineKind.PAYMENT,
    "fee": LineKind.FEE,
    "network_cost": LineKind.FEE,
}


def parse(file: BinaryIO, identity: StatementIdentity) -> Iterator[Parsed]:
    count = 0
    sums: dict[str, Sums] = defaultdict(Sums)
    payouts: dict[str, int] = {}
    items: dict[str, int] = defaultdict(int)
    stated: int | None = None
    for number, record in _read_records(file):
        if stated is not None:
            raise StatementRefused("an object after the end of the statement", number)
        match record.get("object"):
            case "balance_transaction":
                count += 1
                for line in _build_lines(record, identity, number):
                    sums[line.currency].add(line.gross_minor, line.fee_minor)
                    if line.kind is LineKind.PAYOUT:
                        payouts[line.payout_no] = payouts.get(line.payout_no, 0) + line.net_minor
                    yield line
            case "payout_item":
                count += 1
                payout_no = _read(record, "payout", str, number)
                transaction = record.get("balance_transaction")
                if not isinstance(transaction, dict):
                    raise StatementRefused("a payout_item has no balance_transaction", number)
                currency = _read(transaction, "currency", str, number).upper()
                items[payout_no] += from_stripe(_read(transaction, "net", int, number), currency)
                yield PayoutItem(payout_no, _read(transaction, "id", str, number))
            case "end_of_statement":
                stated = _read(record, "count", int, number)
            case other:
                raise StatementRefused(f"the object '{str(other)[:50]}' is unknown", number)
    if stated is None:
        raise StatementRefused("there is no end_of_statement: the file is incomplete")
    compare_total("count", stated, count)
    for payout_no, added in items.items():
        compare_total(f"payout {payout_no}", -payouts.get(payout_no, 0), added)
    yield StatedTotals(
        {
            currency: {"count": each.count, "gross": each.gross_minor, "fee": each.fee_minor}
            for currency, each in sums.items()
        }
    )


def _read_records(file: BinaryIO) -> Iterator[tuple[int, Mapping[str, Any]]]:
    number = 0
    while text := file.readline(MAX_LINE_BYTES):
        number += 1
        if len(text) == MAX_LINE_BYTES:
            raise StatementRefused("the line is too long", number)
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            raise StatementRefused("not a JSON object", number) from None
        if not isinstance(record, dict):
            raise StatementRefused("not a JSON object", number)
        yield number, record


def _build_lines(record: Mapping[str, Any], identity: StatementIdentity, number: int) -> Iterator[ParsedLine]:
    """One line, and another for the application fee that the platform took of a connected account's payment."""
    currency = _read(record, "currency", str, number).upper()
    get_exponent(currency, number)
    amount, fee, net = (
        from_stripe(_read(record, name, int, number), currency) for name in ("amount", "fee", "net")
    )
    details = record.get("fee_details") or []
    if not isinstance(details, list):
        raise StatementRefused("'fee_details' is not a list", number)
    if amount - fee != net:
        raise StatementRefused(f"amount {amount} less fee {fee} is not net {net}", number)
    detailed = sum(from_stripe(_read(each, "amount", int, number), currency) for each in details)
    if detailed != fee:
        raise StatementRefused(f"the fee_details add up to {detailed}, the fee is {fee}", number)
    application_fee = sum(
        from_stripe(each["amount"], currency) for each in details if each.get("type") == "application_fee"
    )
    kind = _choose_kind(record, amount, number)
    line = _build_line_without_amounts(record, kind, currency, identity, number)
    if kind is LineKind.FEE:
        yield replace(line, fee_minor=fee - amount)
        return
    yield replace(line, gross_minor=amount, fee_minor=fee - application_fee)
    if application_fee:
        yield replace(line, kind=LineKind.APPLICATION_FEE, gross_minor=-application_fee, raw={})


def _choose_kind(record: Mapping[str, Any], amount_minor: int, number: int) -> LineKind:
    """A failed refund by a local payment method comes back as a `payment_refund` too, with a positive amount."""
    category, type_name = str(record.get("reporting_category")), _read(record, "type", str, number)
    kind = _CATEGORIES.get(category) or _TYPES.get(type_name, LineKind.OTHER)
    return LineKind.REFUND_REVERSAL if kind is LineKind.REFUND and amount_minor > 0 else kind


def _build_line_without_amounts(
    record: Mapping[str, Any], kind: LineKind, currency: str, identity: StatementIdentity, number: int
) -> ParsedLine:
    source = record.get("source")
    fields: Mapping[str, Any] = source if isinstance(source, dict) else {"id": source or ""}
    source_id = str(fields.get("id") or "")
    reference, channel_no = "", source_id
    if kind is LineKind.PAYMENT:
        reference = read_reference(dict(fields), PAYMENT_NO, identity.environment)
        intent = fields.get("payment_intent")
        channel_no = intent if isinstance(intent, str) else source_id
    elif kind in (LineKind.REFUND, LineKind.REFUND_REVERSAL):
        reference = read_reference(dict(fields), REFUND_NO, identity.environment)
    return ParsedLine(
        kind=kind,
        gross_minor=0,
        fee_minor=0,
        currency=currency,
        occurred_at=_read_time(record, number),
        raw=record,
        reference=reference,
        channel_no=channel_no,
        line_no=_read(record, "id", str, number),
        payout_no=source_id if kind is LineKind.PAYOUT else "",
    )


def _read(record: Mapping[str, Any], name: str, kind: type, number: int) -> Any:
    value = record.get(name) if isinstance(record, dict) else None
    if kind is str:
        is_valid = isinstance(value, str) and 0 < len(value) <= MAX_TEXT and "\0" not in value
    else:
        is_valid = type(value) is int and abs(value) <= MAX_NUMBER
    if not is_valid:
        raise StatementRefused(f"'{name}' is missing or of a wrong type", number)
    return value


def _read_time(record: Mapping[str, Any], number: int) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(_read(record, "created", int, number), dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise StatementRefused("'created' is not a time", number) from None
