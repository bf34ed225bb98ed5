"""Fetches the statements that the channels' calendars say exist, and settles them."""

import datetime as dt
import tempfile

import structlog
from django.db.models import Max

from channels.base import ListingFailed, StatementRequest
from channels.guard import GuardedChannel
from channels.registry import get_capabilities, list_channel_names
from common.clock import database_now
from gateway.services.reconciliation.differences import get_served_channels
from settlements.models import StatementFile, StatementFormat
from settlements.parsers.base import StatementRefused, StatementScope
from settlements.services.calendar import list_missing_days
from settlements.services.importing import ImportedStatement, import_statement, record_empty_day
from settlements.services.matching import settle_statements

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 60.0


class FetchFailed(Exception):
    """Some statements were not fetched; the others were. The next run tries again."""


def fetch_due_statements(*, now: dt.datetime | None = None) -> int:
    """Returns how many statements are new. Raises `FetchFailed` at the end."""
    now = now or database_now()
    fetched, failures = 0, []
    for served in _list_accounts():
        for name in get_capabilities(served.name).statement_formats:
            try:
                fetched += _fetch_missing(served, StatementFormat(name), now)
            except (ListingFailed, StatementRefused) as error:
                log.error(
                    "statement.not_fetched",
                    channel=served.name,
                    channel_account=served.account.label,
                    format=name,
                    reason=str(error),
                )
                failures.append(f"{served.name} {served.account.label} {name}: {error}")
    settle_statements()
    if failures:
        raise FetchFailed("; ".join(failures))
    return fetched


def fetch_statement(*, served: GuardedChannel, format: StatementFormat, day: dt.date) -> ImportedStatement:
    """Raises `ListingFailed` and `StatementRefused`."""
    account = served.account
    scope = StatementScope(served.name, account.environment, account.id, day)
    with tempfile.TemporaryFile() as target:
        has_file = served.write_statement(StatementRequest(account, format, day, TIMEOUT_SECONDS), target)
        if not has_file:
            return record_empty_day(format=format, scope=scope)
        target.seek(0)
        return import_statement(file=target, format=format, scope=scope, name=f"{format} {day}")


def _list_accounts() -> list[GuardedChannel]:
    return [
        served
        for name in list_channel_names()
        if get_capabilities(name).statement_formats
        for served in get_served_channels(name)
    ]


def _fetch_missing(served: GuardedChannel, format: StatementFormat, now: dt.datetime) -> int:
    account = served.account
    imported = StatementFile.objects.filter(
        channel=served.name, environment=account.environment, channel_account_id=account.id, format=format
    )
    last: dt.date | None = imported.aggregate(day=Max("day"))["day"]
    days = list_missing_days(served.name, now, last)
    return sum(fetch_statement(served=served, format=format, day=day).is_new for day in days)
