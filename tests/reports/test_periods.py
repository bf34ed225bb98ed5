"""Periods, the time at which each is due, and the destinations of the setting. No database."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from backoffice.reports.destination_settings import Bucket, Folder, InvalidDestination, parse_destinations
from backoffice.reports.periods import Frequency, Period, compute_due_at, find_period, find_start
from tests.reports.conftest import at

BERLIN, SHANGHAI, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Shanghai"), ZoneInfo("America/Havana")


@pytest.mark.parametrize(
    ("frequency", "day", "start", "end"),
    [
        (Frequency.DAILY, "2026-02-28", "2026-02-28", "2026-03-01"),
        (Frequency.WEEKLY, "2026-01-04", "2025-12-29", "2026-01-05"),
        (Frequency.WEEKLY, "2026-01-05", "2026-01-05", "2026-01-12"),
        (Frequency.MONTHLY, "2028-02-29", "2028-02-01", "2028-03-01"),
        (Frequency.MONTHLY, "2026-12-31", "2026-12-01", "2027-01-01"),
    ],
)
def test_the_period_of_a_day(frequency: str, day: str, start: str, end: str) -> None:
    dates = [dt.date.fromisoformat(each) for each in (day, start, end)]
    assert find_period(frequency, dates[0]) == Period(dates[1], dates[2])


@pytest.mark.parametrize(
    ("day", "time", "zone", "due"),
    [
        ("2026-01-05", "06:30", dt.UTC, "2026-01-06T06:30"),
        ("2026-01-05", "06:30", BERLIN, "2026-01-06T05:30"),
        # Early in Shanghai, the day is not over in UTC yet.
        ("2026-01-05", "06:30", SHANGHAI, "2026-01-06T00:10"),
        ("2026-01-05", "00:00", dt.UTC, "2026-01-06T00:10"),
        # The clocks skip from 02:00 to 03:00 on the 29th: 02:30 is 03:30.
        ("2026-03-28", "02:30", BERLIN, "2026-03-29T01:30"),
        ("2026-03-28", "03:30", BERLIN, "2026-03-29T01:30"),
        # 02:30 exists twice on the 25th: the first one is in summer time.
        ("2026-10-24", "02:30", BERLIN, "2026-10-25T00:30"),
        ("2026-10-25", "02:30", BERLIN, "2026-10-26T01:30"),
    ],
)
def test_a_run_is_due_at_local_time(day: str, time: str, zone: dt.tzinfo, due: str) -> None:
    period = find_period(Frequency.DAILY, dt.date.fromisoformat(day))
    assert compute_due_at(period, run_time=dt.time.fromisoformat(time), zone=zone) == at(due)


def test_each_day_of_a_year_is_due_once_and_after_the_day_before() -> None:
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=number) for number in range(365)]
    for zone in (BERLIN, HAVANA, SHANGHAI):
        for minute in (0, 30):
            time = dt.time(2, minute)
            due = [compute_due_at(find_period("daily", day), run_time=time, zone=zone) for day in days]
            assert due == sorted(set(due))
        starts = [find_start(day, zone) for day in days]
        assert starts == sorted(set(starts))


def test_a_day_begins_after_a_midnight_that_the_clocks_skip() -> None:
    assert find_start(dt.date(2026, 3, 8), HAVANA) == at("2026-03-08T05:00")


def test_places() -> None:
    address = "s3://acme/reports/2026?endpoint_url=https://s3.example&region=eu-1&profile=finance"
    assert parse_destinations({"archive": "/srv/reports", "finance": address, "plain": "s3://acme"}) == {
        "archive": Folder(Path("/srv/reports")),
        "finance": Bucket("acme", "reports/2026/", "https://s3.example", "eu-1", "finance"),
        "plain": Bucket("acme", "", None, None, None),
    }


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a b", "/srv", "at most 40"),
        ("../x", "/srv", "at most 40"),
        ("a", "reports", "absolute path"),
        ("a", "ftp://host/x", "absolute path"),
        ("a", "s3:///x", "absolute path"),
        ("a", "s3://key:secret@bucket/x", "credentials do not belong here"),
        ("a", "s3://bucket/x?secret=1", "unknown options secret"),
    ],
)
def test_a_wrong_place_is_refused(name: str, text: str, problem: str) -> None:
    with pytest.raises(InvalidDestination, match=problem):
        parse_destinations({name: text})
