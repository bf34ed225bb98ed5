"""Converts between our minor units (fen) and the yuan of Alipay's API, notices and statements, without floats."""

import re
from decimal import Decimal

from channels.base import UnexpectedFormat

CURRENCY = "CNY"
# `total_amount` of each way to pay: 0.01 to 100000000 yuan (docs.open.alipay.com/api_1/alipay.trade.page.pay).
MIN_MINOR, MAX_MINOR = 1, 10_000_000_000

_YUAN = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,2}0*)?", re.ASCII)


def to_yuan(amount_minor: int) -> str:
    """`8888` is `"88.88"`."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def from_yuan(value: object) -> int:
    """Reads an amount that Alipay writes as text (`"88.88"`, `"20"`), or as a number. Raises `UnexpectedFormat`."""
    text = (
        str(value).strip() if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else ""
    )
    if not _YUAN.fullmatch(text):
        raise UnexpectedFormat(f"{value!r} is not an amount in yuan")
    return int(Decimal(text).scaleb(2))
