"""Time zones: which names exist, how they are shown, and the one of a request.

A page shows times in the zone of its reader: the one of the profile, or else the browser's.
"""

import datetime as dt
import functools
import zoneinfo

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

COOKIE = "browser_time_zone"  # set by office.js
DAY_SECONDS = 24 * 3600


@functools.cache
def read_names() -> frozenset[str]:
    """The names of all zones. `available_timezones` opens hundreds of files each time: a fifth of a page's CPU."""
    return frozenset(zoneinfo.available_timezones())


@functools.cache
def list_zones() -> tuple[str, ...]:
    """The zones that people choose from: `Asia/Shanghai`, `UTC`."""
    areas = ("Africa/", "America/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    return ("UTC", *sorted(name for name in read_names() if name.startswith(areas)))


def find_zone(name: str) -> dt.tzinfo | None:
    """Returns None for an unknown name: cookies and forms hold anything."""
    if name == "UTC":
        return dt.UTC
    return zoneinfo.ZoneInfo(name) if name in read_names() else None


def describe_offset(zone: dt.tzinfo, moment: dt.datetime) -> str:
    """`UTC`, `UTC+8`, `UTC-3:30`."""
    offset = moment.astimezone(zone).utcoffset() or dt.timedelta()
    minutes = round(offset.total_seconds() / 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}{f':{rest:02d}' if rest else ''}"


def describe_current_zone() -> str:
    """`Asia/Shanghai (UTC+8)`, for the header of every page."""
    zone, name = timezone.get_current_timezone(), timezone.get_current_timezone_name()
    offset = describe_offset(zone, timezone.now())
    key = getattr(zone, "key", name)
    return key if key == offset else f"{key} ({offset})"


def format_exactly(moment: dt.datetime) -> str:
    """`2026-11-28 19:03:41 UTC+8`, in the reader's zone."""
    zone = timezone.get_current_timezone()
    return f"{date_format(timezone.localtime(moment), 'Y-m-d H:i:s')} {describe_offset(zone, moment)}"


def format_relatively(moment: dt.datetime, now: dt.datetime) -> str:
    """`5 min ago` within a day, else the date and the time."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 60:
        return _("just now")
    if abs(seconds) >= DAY_SECONDS:
        return date_format(timezone.localtime(moment), "Y-m-d H:i")
    minutes = int(abs(seconds) // 60)
    if minutes < 60:
        return (_("%(count)d min ago") if seconds > 0 else _("in %(count)d min")) % {"count": minutes}
    return (_("%(count)d h ago") if seconds > 0 else _("in %(count)d h")) % {"count": minutes // 60}
