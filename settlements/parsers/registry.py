"""Which parser reads which format, and in which time zone a channel's days begin."""

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from settlements.models import StatementFormat
from settlements.parsers import alipay, own_csv, stripe, wechat
from settlements.parsers.base import Parser

PARSERS: Mapping[StatementFormat, Parser] = {
    StatementFormat.STRIPE: stripe.parse,
    StatementFormat.WECHAT_TRADES: wechat.parse_trades,
    StatementFormat.WECHAT_FUNDS: wechat.parse_funds,
    StatementFormat.ALIPAY_TRADES: alipay.parse_trades,
    StatementFormat.CSV: own_csv.parse,
}
_BEIJING = ZoneInfo("Asia/Shanghai")
_ZONES: Mapping[str, dt.tzinfo] = {"wechat": _BEIJING, "alipay": _BEIJING}


def get_zone(channel: str) -> dt.tzinfo:
    """The zone of the channel's days."""
    return _ZONES.get(channel, dt.UTC)


def get_day_period(channel: str, day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    zone = get_zone(channel)
    start = dt.datetime.combine(day, dt.time(), zone)
    return start, dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone)
