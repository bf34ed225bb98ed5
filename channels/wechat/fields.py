"""Reads fields of WeChat Pay's JSON, and converts its times and amounts."""

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from channels.base import UnexpectedFormat

# WeChat Pay's times, and the days of its statements, are of this zone (pay.weixin.qq.com/doc/v3/merchant/4012084430).
BEIJING = dt.timezone(dt.timedelta(hours=8))
# The only one of a merchant in mainland China (pay.weixin.qq.com/doc/v3/merchant/4012791877).
CURRENCY = "CNY"

_YUAN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,2}0*)?")


def read_text(fields: Mapping[str, Any], name: str) -> str:
    """Raises `UnexpectedFormat` unless the field is a text that is not empty."""
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise UnexpectedFormat(f"no {name}")
    return value


def read_fen(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or value < 0:
        raise UnexpectedFormat(f"{name} is not an amount: {value!r}")
    return value


def read_object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if not isinstance(value, Mapping):
        raise UnexpectedFormat(f"no {name}")
    return value


def convert_yuan_to_fen(text: str) -> int:
    """Converts an amount of a statement, such as 0.01 or 12.50."""
    if not _YUAN.fullmatch(text):
        raise UnexpectedFormat(f"not an amount in yuan: {text!r}")
    return int(Decimal(text) * 100)


def format_time(moment: dt.datetime) -> str:
    """RFC 3339 in Beijing time, such as 2018-06-08T10:34:56+08:00."""
    return moment.astimezone(BEIJING).isoformat(timespec="seconds")


def shorten_bytes(text: str, max_bytes: int) -> str:
    """Cuts a text that WeChat Pay limits, on a character's boundary.

    Its limits count bytes, as its errors say (字节数 17，大于最大值 16). Backticks and control characters would break
    the lines of its statements.
    """
    clean = re.sub(r"[\x00-\x1f\x7f`\ud800-\udfff]+", " ", text).strip()
    return clean.encode()[:max_bytes].decode(errors="ignore")
