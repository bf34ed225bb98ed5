import argparse
import datetime as dt
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils.dateparse import parse_datetime

from common.terminal import in_its_language
from monitoring import services as consistency
from monitoring.books.audit import RULES, audit
from monitoring.books.rule import Finding
from monitoring.consistency.check import Result
from monitoring.consistency.registry import UnknownCheck, names
from monitoring.services import Report

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = "Checks what must always be true of orders, payments, refunds, sagas and the simulator's books."

    @in_its_language()
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", dest="as_json", help="Print JSON.")
        parser.add_argument(
            "--since",
            type=moment_or_duration,
            help="Look only at what was created since: 2025-01-24T08:00:00Z, or 30m, 24h, 7d ago.",
        )
        parser.add_argument("--only", action="append", default=[], metavar="NAME", help=", ".join(names()))
        parser.add_argument("--fix", action="store_true", help="Mend what can be mended without any risk.")
        parser.add_argument(
            "--books", action="store_true", help="Also audit what every saga did, and the simulator's ledger."
        )
        parser.add_argument(
            "--grace",
            type=duration,
            default=consistency.GRACE,
            help="How long the platform may be behind a channel. Default 5m; 0s once everything has settled.",
        )

    @in_its_language()
    def handle(
        self,
        *args: Any,
        as_json: bool,
        since: dt.datetime | dt.timedelta | None,
        only: list[str],
        fix: bool,
        grace: dt.timedelta,
        books: bool,
        **options: Any,
    ) -> None:
        try:
            report = consistency.run_checks(since=since, only=only, fix=fix, grace=grace)
        except UnknownCheck as error:
            raise CommandError(str(error)) from error
        findings = _audit(report, grace) if books else None
        self.stdout.write(as_document(report, findings) if as_json else as_table(report))
        if findings is not None and not as_json:
            self.stdout.write(as_list(findings))
        if report.failed or findings:
            sys.exit(1)


def _audit(report: Report, grace: dt.timedelta) -> tuple[Finding, ...]:
    with connection.cursor() as cursor:
        return audit(cursor, since=report.since, grace=grace)


def as_list(findings: Sequence[Finding]) -> str:
    broken = {finding.rule for finding in findings}
    lines = [f"FAILED {finding}" for finding in findings]
    return "\n".join(["", *lines, f"{len(RULES) - len(broken)} of {len(RULES)} rules of the books kept"])


def as_document(report: Report, findings: Sequence[Finding] | None = None) -> str:
    document = {
        "passed": not report.failed and not findings,
        "started_at": report.started_at.isoformat(),
        "since": report.since.isoformat() if report.since else None,
        "results": [asdict(result) for result in report.results],
    }
    if findings is not None:
        document["books"] = [asdict(finding) for finding in findings]
    return json.dumps(document, ensure_ascii=False, indent=2)


def as_table(report: Report) -> str:
    width = max(len(result.name) for result in report.results)
    lines = [f"{'':<6} {'check':<{width}} {'count':>7} {'fixed':>7}  meaning"]
    for result in report.results:
        verdict = "ok" if result.passed else "FAILED"
        lines.append(
            f"{verdict:<6} {result.name:<{width}} {result.count:>7} {result.fixed:>7}  {result.means}"
        )
        lines += _offenders(result)
    passed = len(report.results) - report.failed
    return "\n".join([*lines, "", f"{passed} of {len(report.results)} checks passed"])


def _offenders(result: Result) -> list[str]:
    lines = [f"       - {offender}" for offender in result.sample]
    if result.count > len(result.sample):
        lines.append(f"       … and {result.count - len(result.sample)} more")
    if result.count and result.fixable:
        lines.append("       --fix mends what can be mended without any risk")
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
