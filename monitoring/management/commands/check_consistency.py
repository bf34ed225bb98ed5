import argparse
import datetime as dt
import json
import re
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from common.terminal import use_terminal_language
from monitoring import services
from monitoring.integrity.check import CheckResult
from monitoring.integrity.registry import UnknownCheck, list_check_names
from monitoring.integrity.search import GRACE
from monitoring.services import CheckReport

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = "Checks rules that orders, payments, refunds, sagas, events and the simulator's ledger must always satisfy."

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print JSON.")
        parser.add_argument(
            "--since",
            type=moment_or_duration,
            help="Check only what was created since: 2025-01-24T08:00:00Z, or 30m, 24h, 7d ago.",
        )
        parser.add_argument(
            "--only", action="append", default=[], metavar="NAME", help=", ".join(list_check_names())
        )
        parser.add_argument("--fix", action="store_true", help="Repair violations where that is safe.")
        parser.add_argument("--books", action="store_true", help="Has no effect: every run makes all checks.")
        parser.add_argument(
            "--grace",
            type=duration,
            default=GRACE,
            help="How long the platform may be behind a channel. Default 5m; 0s once everything has settled.",
        )

    @use_terminal_language()
    def handle(
        self,
        *args: Any,
        as_json: bool,
        since: dt.datetime | dt.timedelta | None,
        only: list[str],
        fix: bool,
        grace: dt.timedelta,
        **options: Any,
    ) -> None:
        try:
            report = services.run_checks(since=since, only=only, fix=fix, grace=grace)
        except UnknownCheck as error:
            raise CommandError(str(error)) from error
        self.stdout.write(as_document(report) if as_json else as_table(report))
        if report.failed:
            sys.exit(1)


def as_document(report: CheckReport) -> str:
    document = {
        "passed": not report.failed,
        "started_at": report.started_at.isoformat(),
        "since": report.since.isoformat() if report.since else None,
        "results": [asdict(result) for result in report.results],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def as_table(report: CheckReport) -> str:
    width = max(len(result.name) for result in report.results)
    lines = [f"{'':<6} {'check':<{width}} {'count':>7} {'fixed':>7}  meaning"]
    for result in report.results:
        verdict = "ok" if result.passed else "FAILED"
        lines.append(
            f"{verdict:<6} {result.name:<{width}} {result.count:>7} {result.fixed:>7}  {result.means}"
        )
        lines += _violations(result)
    passed = len(report.results) - report.failed
    return "\n".join([*lines, "", f"{passed} of {len(report.results)} checks passed"])


def _violations(result: CheckResult) -> list[str]:
    lines = [f"       - {row}" for row in result.sample]
    if result.count > len(result.sample):
        lines.append(f"       … and {result.count - len(result.sample)} more")
    if result.count and result.fixable:
        lines.append("       --fix repairs what can be repaired safely")
    return lines


def moment_or_duration(text: str) -> dt.datetime | dt.timedelta:
    moment = parse_datetime(text)
    if moment is None:
        return duration(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def duration(text: str) -> dt.timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a time like 2025-01-24T08:00:00Z nor 24h")
    return dt.timedelta(**{UNITS[match[2]]: int(match[1])})
