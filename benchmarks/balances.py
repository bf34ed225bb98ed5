"""What reading a merchant's balance costs beside 10⁴ and 10⁷ entries of the ledger, with a queue that the rollup has
not reached yet.

Loads transfers of two entries each by SQL, spread over a year and three merchants, with the daily balances that the
rollup makes of them.
"""

import time
import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection

from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from ledger.balances import read_merchant_balances
from ledger.chart import AccountIdentity
from ledger.chart import LedgerAccountKind as Kind
from merchants.services import create_merchant
from monitoring.integrity import registry
from monitoring.integrity.search import find_violations
from tests.support.triggers import without_triggers

BENCHMARK = Benchmark(
    "balances",
    "Reading a merchant's balance beside 10⁴ and 10⁷ entries: a year of daily balances, and 1,000 transfers in the"
    " queue.",
    "The daily balances of the merchant, one row a day and account, and the queue; not the number of entries.",
)
ENVIRONMENT, CHANNEL, CURRENCY = "live", "stripe", "USD"
MERCHANTS, QUEUED, CHUNK, READINGS = 3, 1_000, 500_000, 15
_TRANSFERS = """
INSERT INTO ledger_transfers (id, event, subject_id, sequence, kind, leg_count, environment, merchant_id, currency,
    payment_id, source, is_opening, day, created_at)
SELECT md5('t' || n)::uuid, 'payment.captured', md5('p' || n)::uuid, 100, 'single', 2, 'live', %(merchant_id)s, 'USD',
    md5('p' || n)::uuid, 'PAY-' || n, false, (at AT TIME ZONE 'UTC')::date, at
FROM generate_series(%(first)s::bigint, %(last)s) AS n
CROSS JOIN LATERAL (SELECT now() - make_interval(secs => (n * 7919 %% 31536000)) AS at) AS times
"""
_ENTRIES = """
INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)
SELECT md5('t' || n)::uuid, leg, CASE leg WHEN 1 THEN %(receivable)s::uuid ELSE %(payable)s::uuid END, 'posted',
    CASE leg WHEN 1 THEN 'debit' ELSE 'credit' END, 100
FROM generate_series(%(first)s::bigint, %(last)s) AS n CROSS JOIN generate_series(1, 2) AS leg
"""
_ADD_UP = """
INSERT INTO ledger_daily_balances (account_id, day, posted_debit_minor, posted_credit_minor, pending_debit_minor,
    pending_credit_minor, entry_count)
SELECT entry.account_id, transfer.day,
    coalesce(sum(amount_minor) FILTER (WHERE direction = 'debit'), 0),
    coalesce(sum(amount_minor) FILTER (WHERE direction = 'credit'), 0), 0, 0, count(*)
FROM ledger_transfers AS transfer JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
WHERE NOT EXISTS (SELECT FROM ledger_rollup_queue AS queued WHERE queued.transfer_id = transfer.id)
GROUP BY entry.account_id, transfer.day
"""


def measure(effort: Effort) -> list[Figure]:
    sizes = effort.choose(10_000, 1_000), effort.choose(10_000_000, 4_000)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    merchant_ids = [
        create_merchant(name="Balances", email=f"{uuid.uuid4().hex}@example.com").merchant.pk
        for _number in range(MERCHANTS)
    ]
    figures: list[Figure] = []
    loaded, base = 0, None
    for entries in sizes:
        began = time.monotonic()
        _load(merchant_ids, loaded, entries // 2)
        loaded = entries // 2
        print(f"   {entries:,} entries loaded in {time.monotonic() - began:.0f} s", flush=True)
        times, blocks, sum_minor = _read(merchant_ids[0])
        assert sum_minor == 100 * len(range(0, loaded, MERCHANTS)), "every transfer counts once"
        read = median_figure(
            f"{entries:,} entries: balance", times, "ms", base=base, aim="below 2" if base else ""
        )
        base = base or read
        figures += [read, Figure(name=f"{entries:,} entries: blocks", value=blocks, unit="")]
    return [*figures, Figure(name="violations", value=_count_violations(), unit="", aim="at most 0")]


def _load(merchant_ids: Sequence[uuid.UUID], first: int, last: int) -> None:
    """Transfers of the numbers from `first` on; every third is of the same merchant."""
    receivable = AccountIdentity(Kind.CHANNEL_RECEIVABLE, ENVIRONMENT, CURRENCY, None, CHANNEL, None)
    with without_triggers() as cursor:
        for start in range(first, last, CHUNK):
            end = min(start + CHUNK, last) - 1
            for place, merchant_id in enumerate(merchant_ids):
                payable = AccountIdentity(
                    Kind.MERCHANT_PAYABLE, ENVIRONMENT, CURRENCY, merchant_id, CHANNEL, None
                )
                for account in (receivable, payable):
                    _open(account)
                numbers: dict[str, Any] = {
                    "first": start,
                    "last": end,
                    "merchant_id": merchant_id,
                    "receivable": receivable.id,
                    "payable": payable.id,
                    "place": place,
                }
                for sql in (_TRANSFERS, _ENTRIES):
                    cursor.execute(f"{sql} WHERE n %% {MERCHANTS} = %(place)s", numbers)
        cursor.execute("DELETE FROM ledger_rollup_queue")
        cursor.execute("DELETE FROM ledger_daily_balances")
        cursor.execute(
            "INSERT INTO ledger_rollup_queue (transfer_id) SELECT md5('t' || n)::uuid"
            " FROM generate_series(%s::bigint, %s) AS n",
            [max(0, last - QUEUED), last - 1],
        )
        cursor.execute(_ADD_UP)
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE ledger_transfers, ledger_entries, ledger_daily_balances, ledger_rollup_queue"
        )


def _open(account: AccountIdentity) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_accounts (id, kind, environment, currency, merchant_id, channel)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                account.id,
                account.kind.value,
                account.environment,
                account.currency,
                account.merchant_id,
                account.channel,
            ],
        )


def _read(merchant_id: uuid.UUID) -> tuple[list[float], float, int]:
    """Milliseconds of each reading, the blocks of the statement, and the balance."""
    times = []
    for _reading in range(READINGS):
        began = time.perf_counter()
        (balance,) = read_merchant_balances(merchant_id=merchant_id, environment=ENVIRONMENT)
        times.append((time.perf_counter() - began) * 1000)
    before = _count_blocks()
    read_merchant_balances(merchant_id=merchant_id, environment=ENVIRONMENT)
    return times, _count_blocks() - before, balance.posted_minor


def _count_blocks() -> float:
    """What this session has read of tables and indexes so far."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))"
            " FROM pg_statio_user_tables WHERE relname LIKE 'ledger_%'"
        )
        (blocks,) = cursor.fetchone()
    return float(blocks)


def _count_violations() -> int:
    with connection.cursor() as cursor:
        return sum(
            find_violations(cursor, registry.find_check(name), limit=1)[1]
            for name in ("ledger_balanced", "ledger_balances_add_up")
        )
