"""Lets a day pass: moves all stored times back by a day, so that now is the next day."""

from collections import defaultdict

from ledger.balances import roll_up
from ledger.closes import close_days, verify_days
from ledger.models import DailyClose
from tests.support.triggers import without_triggers

# Rows move this far back and forth again, so that no unique key collides with that of the day before.
_FAR = 10_000
_FIND_COLUMNS = """
SELECT column_.table_name, string_agg(
    format('%%1$I = %%1$I + %%2$s', column_name,
           CASE data_type WHEN 'date' THEN 'DAYS' ELSE 'DAYS * interval ''1 day''' END), ', ')
FROM information_schema.columns AS column_
JOIN pg_class ON pg_class.relname = column_.table_name AND pg_class.relnamespace = 'public'::regnamespace
WHERE table_schema = 'public' AND data_type IN ('timestamp with time zone', 'date') AND is_generated = 'NEVER'
  AND pg_class.relkind IN ('r', 'p') AND NOT pg_class.relispartition AND column_.table_name <> 'daily_closes'
  AND column_.table_name !~ '^(django|auth|staff|audit)_'
GROUP BY column_.table_name
"""
Closes = dict[tuple[str, str], list[tuple[object, ...]]]


def let_a_day_pass() -> None:
    """Makes the closes of earlier days again: only their days may differ."""
    roll_up()
    close_days()
    before = read_closes()
    with without_triggers() as cursor:
        cursor.execute(_FIND_COLUMNS, [])
        for table, changes in cursor.fetchall():
            for days in (-_FAR - 1, _FAR):
                cursor.execute(f"UPDATE {table} SET {changes.replace('DAYS', f'({days})')}")
        cursor.execute("DELETE FROM daily_closes")
    close_days()
    after = read_closes()
    for chain, closed in before.items():
        assert after[chain][: len(closed)] == closed, "the past has changed"
    assert verify_days() == []


def read_closes() -> Closes:
    """Returns the closes of each chain, oldest first, without their days."""
    found: Closes = defaultdict(list)
    for each in DailyClose.objects.exclude(transfer_count=0).order_by("day"):
        chain = each.environment, each.currency
        found[chain].append((each.transfer_count, each.posted_minor, each.entries_digest))
    return found
