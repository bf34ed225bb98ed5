"""Fetches the statements that the channels' calendars say exist, and settles them."""

import datetime as dt
import tempfile

import structlog

from channels.base import ListingFailed, StatementRequest
from channels.guard import GuardedChannel
from channels.registry import get_capabilities, list_channel_names
from common.clock import database_now
from gateway.services.reconciliation.differences import get_served_channels
from settlements.models import FileState, StatementFile, StatementFormat
from settlements.parsers.base import StatementIdentity, StatementRefused
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
    fetched = 0
    failures: list[str] = []
    for served in _list_accounts():
        for name in get_capabilities(served.name).statement_formats:
            fetched += fetch_missing_days(served, StatementFormat(name), now, failures)
    settle_statements()
    if failures:
        raise FetchFailed("; ".join(failures))
    return fetched


def fetch_statement(*, served: GuardedChannel, format: StatementFormat, day: dt.date) -> ImportedStatement:
    """Raises `ListingFailed` and `StatementRefused`."""
    account = served.account
    identity = StatementIdentity(served.name, account.environment, account.id, day)
    with tempfile.TemporaryFile() as target:
        has_file = served.write_statement(StatementRequest(account, format, day, TIMEOUT_SECONDS), target)
        if not has_file:
            return record_empty_day(format=format, identity=identity)
        target.seek(0)
        return import_statement(file=target, format=format, identity=identity, name=f"{format} {day}")


def _list_accounts() -> list[GuardedChannel]:
    return [
        served
        for name in list_channel_names()
        if get_capabilities(name).statement_formats
        for served in get_served_channels(name)
    ]


def fetch_missing_days(
    served: GuardedChannel, format: StatementFormat, now: dt.datetime, failures: list[str]
) -> int:
    """Returns how many statements are new. A day that fails is added to `failures`, and the next day is fetched."""
    account = served.account
    files = StatementFile.objects.filter(
        channel=served.name, environment=account.environment, channel_account_id=account.id, format=format
    )
    # A day whose statement was voided is fetched again.
    imported = set(files.exclude(state=FileState.VOIDED).values_list("day", flat=True))
    fetched = 0
    for day in list_missing_days(served.name, now, imported):
        try:
            fetched += fetch_statement(served=served, format=format, day=day).is_new
        except (ListingFailed, StatementRefused) as error:
            log.error(
                "statement.not_fetched",
                channel=served.name,
                channel_account=account.label,
                format=format,
                day=day.isoformat(),
                reason=str(error),
            )
            failures.append(f"{served.name} {account.label} {format} {day}: {error}")
    return fetched
