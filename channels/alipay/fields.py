"""Reads fields of Alipay's answers, notices and statements; converts our numbers and its times."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from channels.base import UnexpectedFormat

AlipayFields = Mapping[str, Any]

# All times of Alipay are Beijing's, without a zone (docs.open.alipay.com/api_1/alipay.trade.page.pay, `timestamp`).
BEIJING = dt.timezone(dt.timedelta(hours=8), "Beijing")
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"


def read_text(fields: AlipayFields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise UnexpectedFormat(f"{name} is missing")
    return value


def require_same(fields: AlipayFields, name: str, expected: str) -> None:
    """For a field that repeats what we sent. Raises `UnexpectedFormat` when it does not."""
    if fields.get(name) != expected:
        raise UnexpectedFormat(f"{name} is {fields.get(name)!r}, not {expected!r}")


def to_alipay_number(reference: str) -> str:
    """Our number as Alipay accepts it: letters, digits and underscores (`out_trade_no` of alipay.trade.page.pay)."""
    return reference.replace("-", "_")


def from_alipay_number(number: str) -> str:
    """The opposite of `to_alipay_number`. A number that another system has chosen stays as it is."""
    return number.replace("_", "-") if number.startswith(("PAY_", "REF_")) else number


def to_beijing_text(moment: dt.datetime) -> str:
    return moment.astimezone(BEIJING).strftime(TIME_FORMAT)


def from_beijing_text(text: str) -> dt.datetime:
    """Raises `UnexpectedFormat`."""
    try:
        return dt.datetime.strptime(text.strip(), TIME_FORMAT).replace(tzinfo=BEIJING)
    except ValueError as error:
        raise UnexpectedFormat(f"{text!r} is not a time") from error
