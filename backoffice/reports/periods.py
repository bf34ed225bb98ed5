"""The periods of scheduled reports, and when each of them is due."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from django.db import models
from django.utils.translation import gettext_lazy as _

ONE_DAY: Final = dt.timedelta(days=1)
# After a day is over in UTC, so that transactions of its last second are in it (as `ledger.closes`).
SETTLING_DELAY: Final = dt.timedelta(minutes=10)


class Frequency(models.TextChoices):
    DAILY = "daily", _("Daily")
    WEEKLY = "weekly", _("Weekly, from Monday")
    MONTHLY = "monthly", _("Monthly")


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `start` up to `end`, exclusive."""

    start: dt.date
    end: dt.date


def find_period(frequency: str, day: dt.date) -> Period:
    """The period that contains the day."""
    match Frequency(frequency):
        case Frequency.DAILY:
            return Period(day, day + ONE_DAY)
        case Frequency.WEEKLY:
            monday = day - ONE_DAY * day.weekday()
            return Period(monday, monday + 7 * ONE_DAY)
        case Frequency.MONTHLY:
            first = day.replace(day=1)
            return Period(first, (first + 31 * ONE_DAY).replace(day=1))


def compute_due_at(period: Period, *, run_time: dt.time, zone: dt.tzinfo) -> dt.datetime:
    """The first `run_time` in the zone after the period, and not before its last day is over in UTC.

    When the clocks go forward, a time that does not exist is an hour later; when they go back, a time that exists twice
    is the first of the two. Either way the period has one run: the run belongs to the period, not to a time.
    """
    local = dt.datetime.combine(period.end, run_time, zone).astimezone(dt.UTC)
    is_over_at = dt.datetime.combine(period.end, dt.time.min, dt.UTC) + SETTLING_DELAY
    return max(local, is_over_at)


def find_start(day: dt.date, zone: dt.tzinfo) -> dt.datetime:
    """The first moment of the day in the zone. Where the clocks skip midnight, that is the end of the gap."""
    return dt.datetime.combine(day, dt.time.min, zone).astimezone(dt.UTC)
