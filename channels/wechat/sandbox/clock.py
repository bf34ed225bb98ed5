"""The sandbox's clock, which a test can move, and the way WeChat Pay writes times."""

import datetime as dt
import threading
import time

# "TIMEZONE：+08:00 表示东八区时间，即北京时间": docs/merchant/products/native-payment/apilist.html, time_expire.
BEIJING = dt.timezone(dt.timedelta(hours=8), "Beijing")


class Clock:
    """The time of orders, refunds, bills and callback retries, in unix seconds.

    Signatures carry the time of the machine instead, because a merchant's server does not move its clock along.
    """

    def __init__(self, offset_seconds: float = 0) -> None:
        self._offset_seconds = offset_seconds
        self._lock = threading.Lock()

    @property
    def offset_seconds(self) -> float:
        return self._offset_seconds

    def now(self) -> float:
        return time.time() + self._offset_seconds

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._offset_seconds += seconds


def to_beijing(at: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at, BEIJING)


def format_rfc3339(at: float) -> str:
    return to_beijing(at).isoformat(timespec="seconds")


def format_bill_time(at: float) -> str:
    return to_beijing(at).strftime("%Y-%m-%d %H:%M:%S")


def start_of_day(day: dt.date) -> float:
    """The unix time at which the Beijing day begins."""
    return dt.datetime.combine(day, dt.time(), BEIJING).timestamp()
