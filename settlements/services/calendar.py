"""When a channel's statement of a day can be fetched, in the channel's own time zone.

WeChat Pay makes its files from 9 on and advises to read them from 10 on (pay.weixin.qq.com/doc/v3/merchant/4012556654);
Alipay's statement exists from about 9 on. Stripe's list is complete at once; an hour covers clocks that differ.
"""

import datetime as dt
from collections.abc import Collection, Mapping

from settlements.parsers.registry import get_zone

_READY_AT: Mapping[str, dt.time] = {"wechat": dt.time(10), "alipay": dt.time(9, 30), "stripe": dt.time(1)}
# WeChat Pay keeps its files for three months; a longer gap needs the command.
MAX_DAYS_BACK = 31


def find_last_ready_day(channel: str, now: dt.datetime) -> dt.date:
    """The newest day whose statement exists."""
    local = now.astimezone(get_zone(channel))
    days = 1 if local.time() >= _READY_AT.get(channel, dt.time()) else 2
    return local.date() - dt.timedelta(days=days)


def list_missing_days(channel: str, now: dt.datetime, imported: Collection[dt.date]) -> list[dt.date]:
    """The days to fetch, oldest first: those without a statement since the first one. Without any, the newest day."""
    last = find_last_ready_day(channel, now)
    first = min(imported, default=last)
    days = [last - dt.timedelta(days=back) for back in reversed(range(MAX_DAYS_BACK))]
    return [day for day in days if day >= first and day not in imported]
