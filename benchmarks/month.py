"""A month of payments with refunds, fees, disputes, late payments and payouts against the statements of four channels.

The payments are loaded with the ledger's rows (`benchmarks/month_ledger.py`); the statements are written by generators
that share no code with the parsers, with planted errors (`benchmarks/month_errors.py`). Each planted error must be
exactly one case, and nothing else one.
"""

import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.month_errors import Planted, compare, list_matched, plant_errors
from benchmarks.month_import import Imported, import_in_child
from benchmarks.month_ledger import Month, build_terms, load
from benchmarks.month_payments import MONTH, build_payment
from benchmarks.month_statements import FEES, FORMATS, ReportedLine, StatementOnDisk, report, write_statements
from fees.models import FeePlan, FeePlanAssignment, FeePlanVersion
from ledger.balances import roll_up
from merchants.services import create_merchant
from monitoring.integrity import registry
from monitoring.integrity.search import find_violations
from settlements.models import ChannelFeeRate, SettlementCase

BENCHMARK = Benchmark(
    "month",
    "A month of 200,000 payments against the statements of four channels with planted errors.",
    "Python that reads lines and PostgreSQL that joins them, one after the other: an import uses one core of each.",
)
MERCHANTS = 3
CURRENCIES = {"stripe": ("USD", "EUR"), "alipay": ("CNY",), "paypal": ("USD", "EUR")}
CHECKS = (
    "ledger_balanced",
    "ledger_pending_settled",
    "ledger_agrees_with_payments",
    "ledger_agrees_with_disputes",
    "ledger_balances_add_up",
    "statement_lines_settled",
    "statements_add_up",
    "statements_agree_with_ledger",
    "statements_agree_with_payouts",
    "fees_agree_with_plans",
    "fees_returned_by_rule",
)
SHOWN = 20  # of what is wrong
_RECEIVABLES = """
SELECT account.channel, account.currency,
       sum(CASE entry.direction WHEN 'debit' THEN entry.amount_minor ELSE -entry.amount_minor END)
FROM ledger_accounts AS account JOIN ledger_entries AS entry ON entry.account_id = account.id
WHERE account.kind = 'channel_receivable' AND account.environment = %s AND entry.phase = 'posted'
GROUP BY account.channel, account.currency
"""


def measure(effort: Effort) -> list[Figure]:
    payments, errors = effort.choose(200_000, 3_000), effort.choose(15, 1)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    merchant_ids, plan_version = prepare_merchants()
    _agree_on_fees()
    with tempfile.TemporaryDirectory() as folder:
        month = Month("live", merchant_ids, plan_version)
        return _measure_month(month, payments, errors, Path(folder))


def prepare_merchants() -> tuple[list[uuid.UUID], uuid.UUID]:
    """The first one has a fee plan, since before the month."""
    merchants = [
        create_merchant(name=f"Month {number}", email=f"{uuid.uuid4().hex}@example.com").merchant
        for number in range(MERCHANTS)
    ]
    plan = FeePlan.objects.create(name="Month")
    version = FeePlanVersion.objects.create(
        plan=plan, number=1, terms=build_terms().as_json(), valid_from=MONTH
    )
    FeePlanAssignment.objects.create(merchant=merchants[0], plan=plan, valid_from=MONTH)
    return [merchant.pk for merchant in merchants], version.pk


def _agree_on_fees() -> None:
    """WeChat Pay's lines state their own rate."""
    for channel, currencies in CURRENCIES.items():
        rate, fixed = FEES[channel]
        for currency in currencies:
            ChannelFeeRate.objects.create(
                channel=channel,
                environment="live",
                kind="payment",
                currency=currency,
                rate_millionths=rate,
                fixed_minor=fixed,
                valid_from=MONTH.date(),
            )


def _measure_month(month: Month, payments: int, errors: int, folder: Path) -> list[Figure]:
    began = time.monotonic()
    load(month, (build_payment(number, payments) for number in range(payments)))
    roll_up()
    vacuum()
    print(f"   {payments:,} payments loaded in {time.monotonic() - began:.0f} s", flush=True)
    written = _write_month(month, payments, errors, folder)
    lines = sum(each.lines for each in written.statements)
    imported = import_in_child(written.statements, month.environment)
    cases = SettlementCase.objects.exclude(state="resolved").values_list("kind", "reference")
    as_planted, wrong = compare(written.planted, [Planted(*case) for case in cases])
    wrong += written.compare_receivables(month.environment)
    for each in wrong[:SHOWN]:
        print(f"   {each}", flush=True)
    return [
        *describe_import(f"{lines:,} lines in {len(written.statements)} statements", imported, lines),
        Figure(name="planted errors", value=len(written.planted), unit=""),
        Figure(
            name="planted errors that are exactly one case",
            value=as_planted,
            unit="",
            aim=f"at least {len(written.planted)}",
        ),
        Figure(name="other cases and differences", value=len(wrong), unit="", aim="at most 0"),
        Figure(name="violations of integrity checks", value=_count_violations(), unit="", aim="at most 0"),
    ]


@dataclass(frozen=True, slots=True)
class _WrittenMonth:
    """`receivables` is what each channel holds of each currency after the month, by arithmetic of our own."""

    statements: list[StatementOnDisk]
    planted: list[Planted]
    receivables: dict[tuple[str, str], int]

    def compare_receivables(self, environment: str) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute(_RECEIVABLES, [environment])
            in_ledger = {
                (channel, currency): int(sum_minor) for channel, currency, sum_minor in cursor.fetchall()
            }
        places = sorted(self.receivables.keys() | in_ledger.keys())
        return [
            f"{place}: {self.receivables.get(place, 0)} at the channel, {in_ledger.get(place, 0)} in the ledger"
            for place in places
            if self.receivables.get(place, 0) != in_ledger.get(place, 0)
        ]


def _write_month(month: Month, payments: int, errors: int, folder: Path) -> _WrittenMonth:
    by_channel: dict[str, list[ReportedLine]] = defaultdict(list)
    receivables: dict[tuple[str, str], int] = defaultdict(int)
    for number in range(payments):
        payment = build_payment(number, payments)
        for line in report(payment):
            by_channel[payment.channel].append(line)
            receivables[payment.channel, line.currency] += line.gross_minor
    statements: list[StatementOnDisk] = []
    planted: list[Planted] = []
    for channel in FORMATS:
        reported, of_channel = plant_errors(by_channel.pop(channel), channel, errors)
        of_month = write_statements(folder, channel, month.environment, reported)
        statements += of_month
        planted += of_channel
        for line in list_matched(reported, of_channel):
            receivables[channel, line.currency] -= line.fee_minor
        for statement in of_month:
            for currency, moved_minor in statement.moved_minor.items():
                receivables[channel, currency] -= moved_minor
    in_order = sorted(statements, key=lambda each: (each.day, each.channel, each.format))
    return _WrittenMonth(in_order, planted, receivables)


def describe_import(name: str, imported: Imported, lines: int) -> list[Figure]:
    seconds = imported.import_seconds + imported.match_seconds + imported.post_seconds
    return [
        Figure(name=f"{name}: import", value=imported.import_seconds, unit="s"),
        Figure(name=f"{name}: matching", value=imported.match_seconds, unit="s"),
        Figure(name=f"{name}: posting", value=imported.post_seconds, unit="s"),
        Figure(name=f"{name}: together", value=lines / seconds, unit="lines/s"),
        Figure(name=f"{name}: memory of the process", value=max(imported.memory_mb), unit="MB"),
        Figure(name=f"{name}: progress messages", value=imported.messages, unit=""),
    ]


def vacuum() -> None:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _count_violations() -> int:
    total = 0
    with connection.cursor() as cursor:
        for name in CHECKS:
            violations, count = find_violations(cursor, registry.find_check(name), limit=3)
            total += count
            for each in violations:
                print(f"   {each}", flush=True)
    return total
