"""Amounts: yuan with at most two decimals outside, integers of fen inside. No floats."""

import re
from decimal import Decimal

SMALLEST_FEN, LARGEST_FEN = 1, 10_000_000_000  # [0.01, 100000000]: open/028r8t, total_amount
_YUAN = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")


def read_yuan(value: object) -> int:
    """Returns fen. Takes the text or the number of a JSON document; raises ValueError when it is no valid amount."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise ValueError("an amount is a text or a number")
    text = str(value)
    if not _YUAN.fullmatch(text):
        raise ValueError("an amount has at most two decimals")
    fen = int(Decimal(text).scaleb(2))
    if not SMALLEST_FEN <= fen <= LARGEST_FEN:
        raise ValueError("an amount lies between 0.01 and 100000000")
    return fen


def write_yuan(fen: int) -> str:
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"
