"""The day on which a day of the ledger becomes payable, and the time at which a schedule is due."""

import datetime as dt

import pytest

from payouts.hold import find_last_payable_day, is_schedule_due
from payouts.models import PayoutPlan


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("plan", "now", "expected"),
    [
        # Today's money is never payable: the day is not over.
        (PayoutPlan(hold_days=0, day_count="calendar"), "2026-11-26T12:00", "2026-11-25"),
        (PayoutPlan(hold_days=2, day_count="calendar"), "2026-11-26T12:00", "2026-11-24"),
        # Friday's money on a business day later is Monday's; on the weekend it waits.
        (PayoutPlan(hold_days=1, day_count="business"), "2026-11-29T12:00", "2026-11-26"),
        (PayoutPlan(hold_days=1, day_count="business"), "2026-11-30T12:00", "2026-11-29"),
        # A day in UTC ends on the next day in Shanghai, and at midnight there it is still the same day in UTC.
        (
            PayoutPlan(hold_days=1, day_count="calendar", time_zone="Asia/Shanghai"),
            "2026-11-26T15:59",
            "2026-11-24",
        ),
        (
            PayoutPlan(hold_days=1, day_count="calendar", time_zone="Asia/Shanghai"),
            "2026-11-26T16:00",
            "2026-11-25",
        ),
    ],
)
def test_the_last_payable_day(plan: PayoutPlan, now: str, expected: str) -> None:
    assert find_last_payable_day(plan, at(now)) == day(expected)


@pytest.mark.parametrize(
    ("plan", "today", "is_due"),
    [
        (PayoutPlan(schedule="manual"), "2026-11-26", False),
        (PayoutPlan(schedule="daily"), "2026-11-26", True),
        (PayoutPlan(schedule="daily", last_scheduled_on=day("2026-11-26")), "2026-11-26", False),
        (PayoutPlan(schedule="weekly", schedule_day=4), "2026-11-26", True),
        (PayoutPlan(schedule="weekly", schedule_day=5), "2026-11-26", False),
        # The run was missed on Friday and is made up for on Sunday.
        (
            PayoutPlan(schedule="weekly", schedule_day=5, last_scheduled_on=day("2026-11-20")),
            "2026-11-29",
            True,
        ),
        (PayoutPlan(schedule="monthly", schedule_day=31), "2026-11-30", True),
        (PayoutPlan(schedule="monthly", schedule_day=31), "2026-11-29", False),
    ],
)
def test_a_schedule_is_due_once(plan: PayoutPlan, today: str, is_due: bool) -> None:
    assert is_schedule_due(plan, day(today)) is is_due
