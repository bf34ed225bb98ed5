import argparse
import datetime as dt
import json
import sys
from dataclasses import asdict
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from channels.base import ListingFailed
from channels.guard import GuardedChannel
from channels.registry import UnknownChannel
from gateway.management.restore_report import write_restore_report
from gateway.services.adoption.origins import InvalidOrigins, Origin, read_origins
from gateway.services.reconciliation.comparison import Difference
from gateway.services.reconciliation.differences import (
    ComparedCounts,
    ReconciliationScope,
    find_differences,
    get_served_channels,
)

LISTING_FAILED = 2  # exit code


class Command(BaseCommand):
    help = (
        "Compares a channel's own list of payments and refunds with ours, both ways, and writes every difference."
        " Changes nothing. Exit code 1: there are differences; 2: the list could not be read. With --since-restore:"
        " reads the lists of all channels and adopts what the restored database does not know. Exit code 1: something"
        " needs a person or another run; 2: a list could not be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--channel")
        parser.add_argument(
            "--environment", choices=["test", "live"], help="Default: all that the channel serves."
        )
        when = "A day, or a time such as 2026-01-24T08:00:00Z; UTC unless it has an offset."
        parser.add_argument("--from", type=parse_beginning, dest="since", metavar="WHEN", help=when)
        parser.add_argument(
            "--to",
            type=parse_end,
            dest="until",
            metavar="WHEN",
            help="Likewise; a day is included.",
        )
        parser.add_argument(
            "--since-restore",
            type=parse_beginning,
            metavar="WHEN",
            help="The moment to which the database was restored.",
        )
        parser.add_argument(
            "--origins",
            type=argparse.FileType(encoding="utf-8"),
            metavar="FILE",
            help="With --since-restore: whose the payments are that no channel can tell. One JSON object a line:"
            " payment_no, merchant_id, and order_no if it is known.",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            help="Writes one JSON object a line, the counts last.",
        )

    def handle(
        self,
        *args: Any,
        channel: str | None,
        environment: str | None,
        since: dt.datetime | None,
        until: dt.datetime | None,
        since_restore: dt.datetime | None,
        origins: TextIO | None,
        as_json: bool,
        **options: Any,
    ) -> None:
        if since_restore is not None:
            if channel or environment or since or until:
                raise CommandError(
                    "--since-restore reads all channels: give only --origins and --json with it."
                )
            known = _read_origins(origins)
            code = write_restore_report(
                self.stdout.write, moment=since_restore, origins=known, as_json=as_json
            )
            if code:
                sys.exit(code)
            return
        if channel is None or since is None or until is None:
            raise CommandError(
                "Give --channel, --from and --to, or --since-restore.", returncode=LISTING_FAILED
            )
        if since >= until:
            raise CommandError("--from must lie before --to.", returncode=LISTING_FAILED)
        counts, differences = ComparedCounts(), 0
        for served in _choose_accounts(channel, environment):
            account = served.account
            scope = ReconciliationScope(channel, account.environment, since, until, account.id)
            differences += self._write_differences(scope, counts, as_json=as_json)
        self._write_counts(counts, differences, as_json=as_json)
        if differences:
            sys.exit(1)

    def _write_differences(self, scope: ReconciliationScope, counts: ComparedCounts, *, as_json: bool) -> int:
        count = 0
        try:
            for difference in find_differences(scope=scope, counts=counts):
                count += 1
                self.stdout.write(_format_as_json(difference) if as_json else _format_as_text(difference))
        except ListingFailed as error:
            raise CommandError(f"The listing broke off: {error}", returncode=LISTING_FAILED) from error
        return count

    def _write_counts(self, counts: ComparedCounts, differences: int, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"compared": asdict(counts), "differences": differences}))
        else:
            self.stdout.write(
                f"{counts.payments} payments and {counts.refunds} refunds compared, {differences} differences."
            )


def _read_origins(file: TextIO | None) -> dict[str, Origin]:
    if file is None:
        return {}
    try:
        with file:
            return read_origins(file)
    except (InvalidOrigins, UnicodeDecodeError) as error:
        raise CommandError(f"--origins: {error}", returncode=LISTING_FAILED) from error


def _choose_accounts(channel: str, environment: str | None) -> list[GuardedChannel]:
    try:
        served = get_served_channels(channel)
    except UnknownChannel as error:
        raise CommandError(str(error), returncode=LISTING_FAILED) from error
    chosen = [each for each in served if environment in (None, each.account.environment)]
    if not chosen:
        condition = f" with {environment} keys" if environment else ""
        raise CommandError(
            f"Channel '{channel}' itself does not serve{condition}.", returncode=LISTING_FAILED
        )
    return chosen


def _format_as_json(difference: Difference) -> str:
    return json.dumps(asdict(difference), ensure_ascii=False)


def _format_as_text(difference: Difference) -> str:
    names = f"{difference.reference or '-'} {difference.channel_no or '-'}"
    ours, theirs = difference.ours or "nothing", difference.theirs or "nothing"
    return f"{difference.kind:<20} {difference.environment} {names}  here: {ours}  there: {theirs}"


def parse_beginning(text: str) -> dt.datetime:
    return _parse_time(text, dt.timedelta())


def parse_end(text: str) -> dt.datetime:
    return _parse_time(text, dt.timedelta(days=1))


def _parse_time(text: str, added_to_day: dt.timedelta) -> dt.datetime:
    """A day or a time. `added_to_day`: a day means its beginning plus this."""
    try:
        day = parse_date(text)
        if day is not None:
            return dt.datetime.combine(day, dt.time(), dt.UTC) + added_to_day
        time = parse_datetime(text)
    except (ValueError, OverflowError):
        time = None
    if time is None:
        raise argparse.ArgumentTypeError(
            f"'{text}' is neither a day nor a time: write 2026-01-24 or 2026-01-24T08:00:00Z"
        )
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
