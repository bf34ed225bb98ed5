"""Whose a lost payment is: from a file of the operator, from the channel's list, or from the account that took it."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from channel_accounts.selectors import find_account
from channels.base import PaymentOrigin
from channels.guard import GuardedChannel

_FIELDS = {"payment_no", "merchant_id", "order_no"}


class InvalidOrigins(Exception):
    """The file of origins cannot be used; the text names the line."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The merchant and its order number; empty where nobody has kept them."""

    merchant_id: uuid.UUID | None = None
    order_no: str = ""


def read_origins(lines: Iterable[str]) -> dict[str, Origin]:
    """Reads one JSON object a line: `payment_no`, `merchant_id`, and `order_no` if it is known. By payment number.

    Raises `InvalidOrigins`.
    """
    origins = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise InvalidOrigins(f"line {number} is not JSON: {error}") from error
        if (
            not isinstance(entry, dict)
            or not _FIELDS.issuperset(entry)
            or not isinstance(entry.get("payment_no"), str)
        ):
            raise InvalidOrigins(f"line {number} is not an object of payment_no, merchant_id and order_no")
        merchant_id = _read_id(str(entry.get("merchant_id") or ""))
        if merchant_id is None:
            raise InvalidOrigins(f"line {number}: merchant_id is not the id of a merchant")
        origins[entry["payment_no"]] = Origin(merchant_id, str(entry.get("order_no") or "")[:64])
    return origins


def choose_origin(
    payment_no: str, kept: PaymentOrigin | None, served: GuardedChannel, given: Mapping[str, Origin]
) -> Origin:
    """The operator's word counts first. A merchant's own account never takes a payment of another merchant."""
    named = given.get(payment_no) or Origin(
        _read_id(kept.merchant_id) if kept else None, kept.order_no if kept else ""
    )
    account = find_account(served.account.id) if served.account.id else None
    if account is not None and account.merchant_id is not None:
        order_no = named.order_no if named.merchant_id in (None, account.merchant_id) else ""
        return Origin(account.merchant_id, order_no)
    return named


def _read_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
