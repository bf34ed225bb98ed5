import argparse
import datetime as dt
import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from channels.base import ListingFailed
from channels.registry import UnknownChannel
from gateway.services import reconciliation
from gateway.services.reconciliation import Tally

NOT_READ = 2


class Command(BaseCommand):
    help = (
        "Compares a channel's own listing of payments and refunds with our books, both ways, and lists every"
        " difference. Changes nothing. Exit code 1 when there are differences, 2 when the listing could not be read."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--channel", required=True)
        parser.add_argument("--environment", choices=["test", "live"], help="Default: wherever it serves.")
        when = "A day, or a moment such as 2026-01-24T08:00:00Z; UTC unless it says otherwise."
        parser.add_argument("--from", required=True, type=beginning, dest="since", metavar="WHEN", help=when)
        parser.add_argument(
            "--to", required=True, type=end, dest="until", metavar="WHEN", help="The same; a day is included."
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="One JSON object a line, the tally last."
        )

    def handle(
        self,
        *args: Any,
        channel: str,
        environment: str | None,
        since: dt.datetime,
        until: dt.datetime,
        as_json: bool,
        **options: Any,
    ) -> None:
        if since >= until:
            raise CommandError("--from must lie before --to.", returncode=NOT_READ)
        try:
            environments = reconciliation.environments_of(channel)
        except UnknownChannel as error:
            raise CommandError(str(error), returncode=NOT_READ) from error
        wanted = [name for name in environments if environment in (None, name)]
        if not wanted:
            where = f" with {environment} keys" if environment else ""
            raise CommandError(f"Channel '{channel}' itself does not serve{where}.", returncode=NOT_READ)
        tally, found = Tally(), 0
        for name in wanted:
            found += self._compare(channel, name, since, until, tally, as_json=as_json)
        self._sum_up(tally, found, as_json=as_json)
        if found:
            sys.exit(1)

    def _compare(
        self,
        channel: str,
        environment: str,
        since: dt.datetime,
        until: dt.datetime,
        tally: Tally,
        *,
        as_json: bool,
    ) -> int:
        found = 0
        try:
            for difference in reconciliation.differences(
                channel=channel, environment=environment, since=since, until=until, tally=tally
            ):
                found += 1
                if as_json:
                    self.stdout.write(json.dumps(asdict(difference), ensure_ascii=False))
                else:
                    ours, theirs = difference.ours or "nothing", difference.theirs or "nothing"
                    named = f"{difference.reference or '-'} {difference.channel_no or '-'}"
                    self.stdout.write(
                        f"{difference.kind:<20} {difference.environment} {named}  here: {ours}  there: {theirs}"
                    )
        except ListingFailed as error:
            raise CommandError(f"The listing broke off: {error}", returncode=NOT_READ) from error
        return found

    def _sum_up(self, tally: Tally, found: int, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"compared": asdict(tally), "differences": found}))
        else:
            self.stdout.write(
                f"{tally.payments} payments and {tally.refunds} refunds compared, {found} differences."
            )


def beginning(text: str) -> dt.datetime:
    return _moment(text, dt.timedelta())


def end(text: str) -> dt.datetime:
    return _moment(text, dt.timedelta(days=1))


def _moment(text: str, of_a_day: dt.timedelta) -> dt.datetime:
    try:
        day = parse_date(text)
        if day is not None:
            return dt.datetime.combine(day, dt.time(), dt.UTC) + of_a_day
        moment = parse_datetime(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise argparse.ArgumentTypeError(
            f"'{text}' is neither a day nor a moment: write 2026-01-24 or 2026-01-24T08:00:00Z"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
