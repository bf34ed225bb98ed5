"""Which days of the ledger are over their hold. The ledger books by days in UTC; a plan counts days in its own zone.

A day of the ledger counts from the local date on which it ends, so that no payment becomes payable too early.
"""

import datetime as dt
from zoneinfo import ZoneInfo

from payouts.models import DayCount, PayoutPlan, Schedule

_SATURDAY = 5
_DAYS_OF_A_WEEK = 7


def find_last_payable_day(plan: PayoutPlan, now: dt.datetime) -> dt.date:
    """The last day of the ledger whose money is payable at `now`."""
    return _find_last_day(plan, plan.hold_days, DayCount(plan.day_count), now)


def find_last_unreserved_day(plan: PayoutPlan, now: dt.datetime) -> dt.date:
    """The last day of the ledger from which nothing is kept in reserve any more. A reserve counts calendar days."""
    return _find_last_day(plan, plan.reserve_days, DayCount.CALENDAR, now)


def is_schedule_due(plan: PayoutPlan, today: dt.date) -> bool:
    """Whether `today`, in the plan's zone, is a day of its schedule that has no run yet.

    A day that was missed is made up for on the next call, once, however many were missed."""
    last = plan.last_scheduled_on or today - dt.timedelta(days=1)
    days = (today - dt.timedelta(days=back) for back in range((today - last).days))
    return any(_is_day_of_schedule(plan, day) for day in days)


def get_local_day(plan: PayoutPlan, now: dt.datetime) -> dt.date:
    return now.astimezone(ZoneInfo(plan.time_zone)).date()


def _find_last_day(plan: PayoutPlan, days: int, count: DayCount, now: dt.datetime) -> dt.date:
    today = get_local_day(plan, now)
    day = now.astimezone(dt.UTC).date()
    while _add_days(_end_of_day(day, plan), days, count) > today or _is_unfinished(day, now):
        day -= dt.timedelta(days=1)
    return day


def _is_unfinished(day: dt.date, now: dt.datetime) -> bool:
    return day >= now.astimezone(dt.UTC).date()


def _end_of_day(day: dt.date, plan: PayoutPlan) -> dt.date:
    last_second = dt.datetime.combine(day, dt.time(23, 59, 59), dt.UTC)
    return last_second.astimezone(ZoneInfo(plan.time_zone)).date()


def _add_days(day: dt.date, days: int, count: DayCount) -> dt.date:
    if count == DayCount.CALENDAR:
        return day + dt.timedelta(days=days)
    while days > 0:
        day += dt.timedelta(days=1)
        days -= day.weekday() < _SATURDAY
    while day.weekday() >= _SATURDAY:
        day += dt.timedelta(days=1)
    return day


def _is_day_of_schedule(plan: PayoutPlan, day: dt.date) -> bool:
    if plan.schedule == Schedule.DAILY:
        return True
    if plan.schedule == Schedule.WEEKLY:
        return day.isoweekday() == min(plan.schedule_day, _DAYS_OF_A_WEEK)
    if plan.schedule == Schedule.MONTHLY:
        tomorrow = day + dt.timedelta(days=1)
        return day.day == plan.schedule_day or (tomorrow.month != day.month and plan.schedule_day > day.day)
    return False
