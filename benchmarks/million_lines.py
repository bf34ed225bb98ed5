"""One statement of a million lines whose money is expected: import, matching and posting, and the memory of the process
beside that of a small one.

The payments and what the ledger has posted for them are inserted by SQL, because a million need no stories.
"""

import datetime as dt
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection

from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.month import describe_import, prepare_merchants, vacuum
from benchmarks.month_import import import_in_child
from benchmarks.month_payments import MONTH
from benchmarks.month_statements import ReportedLine, write_statements
from ledger.chart import AccountIdentity
from ledger.chart import LedgerAccountKind as Kind
from settlements.models import StatementLine
from tests.support.triggers import without_triggers

BENCHMARK = Benchmark(
    "million_lines",
    "One statement of a million lines: import, matching and posting.",
    "Python that reads lines and PostgreSQL that joins them, one after the other: an import uses one core of each.",
)
CHANNEL, CURRENCY = "wechat", "CNY"
SECONDS = 15 * 3600  # within one day of Beijing
_NUMBERS = """
FROM generate_series(0, %(count)s::bigint - 1) AS n CROSS JOIN LATERAL (
    SELECT 'PAY-' || %(environment)s || '-' || n AS no, md5(%(environment)s || n)::uuid AS id,
           500 + n * 7919 %% 50000 AS amount,
           %(start)s::timestamptz + make_interval(secs => n * %(seconds)s / %(count)s) AS at) AS each
"""
_PAYMENTS = f"""
INSERT INTO payments (id, payment_no, merchant_id, environment, order_id, order_no, amount_minor, currency, status,
    channel, sandbox, capture_method, subject, body, callback_url, return_url, customer, metadata, channel_reference,
    channel_trade_no, payment_url, captured_minor, refunded_minor, refund_pending_minor, failure_code, failure_message,
    needs_attention, attention_reason, check_count, expires_at, paid_at, created_at, updated_at)
SELECT id, no, %(merchant_id)s, %(environment)s, id, no, amount, 'CNY', 'succeeded', 'wechat', false, 'automatic',
    'Coffee', '', '', '', '{{}}', '{{}}', no, '42-' || n, '', amount, 0, 0, '', '', false, '', 0, at, at, at, at
{_NUMBERS}
"""
_TRANSFERS = f"""
INSERT INTO ledger_transfers (id, event, subject_id, sequence, kind, leg_count, environment, merchant_id, currency,
    payment_id, source, is_opening, day, created_at)
SELECT id, 'payment.captured', id, amount, 'single', 2, %(environment)s, %(merchant_id)s, 'CNY', id, no, false,
    (at AT TIME ZONE 'UTC')::date, at
{_NUMBERS}
"""
_ENTRIES = f"""
INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
SELECT id, leg, CASE leg WHEN 1 THEN %(receivable)s::uuid ELSE %(payable)s::uuid END, 'posted',
    CASE leg WHEN 1 THEN 'debit' ELSE 'credit' END, amount
{_NUMBERS} CROSS JOIN generate_series(1, 2) AS leg
"""
_OPEN_ACCOUNT = """
INSERT INTO ledger_accounts (id, kind, environment, currency, merchant_id, channel) VALUES (%s, %s, %s, %s, %s, %s)
"""


def measure(effort: Effort) -> list[Figure]:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    (merchant_id, *_others), _plan = prepare_merchants()
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_measure("test", merchant_id, effort.choose(10_000, 500), Path(folder)),
            *_measure("live", merchant_id, effort.choose(1_000_000, 2_000), Path(folder)),
        ]


def _measure(environment: str, merchant_id: uuid.UUID, count: int, folder: Path) -> list[Figure]:
    began = time.monotonic()
    _load(environment, merchant_id, count)
    vacuum()
    print(f"   {count:,} payments of one day loaded in {time.monotonic() - began:.0f} s", flush=True)
    (statement,) = write_statements(folder, CHANNEL, environment, _report(environment, count))
    imported = import_in_child([statement], environment)
    open_lines = StatementLine.objects.filter(file__environment=environment).exclude(state="matched")
    return [
        *describe_import(f"{count:,} lines in one statement", imported, count),
        Figure(
            name=f"{count:,} lines in one statement: not matched",
            value=open_lines.count(),
            unit="",
            aim="at most 0",
        ),
    ]


def _load(environment: str, merchant_id: uuid.UUID, count: int) -> None:
    receivable, payable = (
        AccountIdentity(kind, environment, CURRENCY, owner, CHANNEL, None)
        for kind, owner in ((Kind.CHANNEL_RECEIVABLE, None), (Kind.MERCHANT_PAYABLE, merchant_id))
    )
    numbers: dict[str, Any] = {
        "count": count,
        "environment": environment,
        "merchant_id": merchant_id,
        "start": MONTH,
        "seconds": SECONDS,
        "receivable": receivable.id,
        "payable": payable.id,
    }
    with without_triggers() as cursor:
        for each in (receivable, payable):
            identity: list[Any] = [each.id, each.kind.value, environment, CURRENCY, each.merchant_id, CHANNEL]
            cursor.execute(_OPEN_ACCOUNT, identity)
        for sql in (_PAYMENTS, _TRANSFERS, _ENTRIES):
            cursor.execute(sql, numbers)


def _report(environment: str, count: int) -> Iterator[ReportedLine]:
    """The same arithmetic as that of the payments."""
    for number in range(count):
        amount_minor = 500 + number * 7919 % 50_000
        yield ReportedLine(
            kind="payment",
            gross_minor=amount_minor,
            fee_minor=(amount_minor * 6 + 500) // 1_000,
            currency=CURRENCY,
            at=MONTH + dt.timedelta(seconds=number * SECONDS // count),
            reference=f"PAY-{environment}-{number}",
            channel_no=f"42-{number}",
            line_no="",
            trade_reference="",
        )
