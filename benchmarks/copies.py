"""Multiplies the rows of one payment by COPY.

The rows of the payment are read as the text that COPY writes. Identifiers in them, and the minute of every time, are
replaced for each copy, in columns and in JSON alike, so the references among the rows of a copy hold.
"""

import datetime as dt
import re
from collections.abc import Container, Iterator

from common.postgresql.partitions import make_partitions
from common.postgresql.sessions import open_session
from sagas.partitions import PARTITIONED_TABLES as SAGA_TABLES
from webhooks.partitions import PARTITIONED_TABLES as WEBHOOK_TABLES

_EVENTS = "(SELECT id FROM outbox_events WHERE ordering_key IN (p.payment_no, p.order_no))"
# Tables whose rows a payment has, and which of their rows. `p` is the payment.
_ROWS_OF_PAYMENT = {
    "orders": "t.id = p.order_id",
    "order_items": "t.order_id = p.order_id",
    "payments": "t.id = p.id",
    "payment_attempts": "t.payment_id = p.id",
    "ledger_transfers": "t.payment_id = p.id",
    "ledger_entries": "t.transfer_id IN (SELECT id FROM ledger_transfers WHERE payment_id = p.id)",
    "saga_instances": "t.business_id = p.payment_no",
    "saga_steps": "t.saga_id IN (SELECT id FROM saga_instances WHERE business_id = p.payment_no)",
    "saga_events": "t.saga_id IN (SELECT id FROM saga_instances WHERE business_id = p.payment_no)",
    "idempotency_keys": "t.resource_id = p.id",
    "channel_events": "t.reference IN (SELECT reference FROM payment_attempts WHERE payment_id = p.id)",
    "outbox_events": "t.ordering_key IN (p.payment_no, p.order_no)",
    "webhook_deliveries": f"t.event_id IN {_EVENTS}",
    "webhook_attempts": f"t.delivery_id IN (SELECT id FROM webhook_deliveries WHERE event_id IN {_EVENTS})",
}
# Texts that identify the payment, its order, its request or its event at the channel.
_NUMBERS = """
SELECT payment_no FROM payments WHERE payment_no = %(no)s
UNION SELECT order_no FROM payments WHERE payment_no = %(no)s
UNION SELECT channel_trade_no FROM payments WHERE payment_no = %(no)s
UNION SELECT reference FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE payment_no = %(no)s
UNION SELECT key FROM idempotency_keys k JOIN payments p ON p.id = k.resource_id WHERE payment_no = %(no)s
UNION SELECT event_id FROM channel_events c JOIN payment_attempts a USING (reference)
      JOIN payments p ON p.id = a.payment_id WHERE payment_no = %(no)s
"""
# Rows of these tables are shared by all copies.
_SHARED = """
SELECT id::text FROM merchants UNION SELECT id::text FROM api_keys UNION SELECT id::text FROM webhook_endpoints
UNION SELECT id::text FROM ledger_accounts
"""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MINUTE = re.compile(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d(?=:\d\d)")
_DAY = re.compile(r"(?<=\t)20\d\d-\d\d-\d\d(?=\t)")
# Ids of the events begin there, so that their digits occur in no other column.
FIRST_EVENT_ID = 7_000_000_000_001
# What retention leaves of a payment, for ever.
_KEPT = ("orders", "order_items", "payments", "payment_attempts", "ledger_transfers", "ledger_entries")
HISTORY = dt.timedelta(days=28)
YEARS = dt.timedelta(days=3 * 365)
MOST = 10_000_000
PARTITIONED_TABLES = (*SAGA_TABLES, *WEBHOOK_TABLES)
CHUNK = 20_000


class PaymentCopies:
    """The newest `with_history` copies have all rows of a payment, older ones those that retention leaves."""

    def __init__(self, payment_no: str, *, with_history: int) -> None:
        self.loaded = 1
        self._with_history = with_history
        self._now = dt.datetime.now(dt.UTC)
        with open_session(options=None) as session:
            self._columns = {table: _writable_columns(session, table) for table in _ROWS_OF_PAYMENT}
            texts = {
                table: _copy_out(session, table, self._columns[table], payment_no)
                for table in _ROWS_OF_PAYMENT
            }
            numbers = [row[0] for row in session.execute(_NUMBERS, {"no": payment_no}) if row[0]]
            shared = {row[0] for row in session.execute(_SHARED)}
            event_ids = [
                row[0]
                for row in session.execute(
                    "SELECT e.id FROM outbox_events e JOIN payments p"
                    " ON e.ordering_key IN (p.payment_no, p.order_no) WHERE p.payment_no = %s",
                    [payment_no],
                )
            ]
        self._numbers = sorted(numbers, key=len, reverse=True)
        self._uuids = sorted(set(_UUID.findall("".join(texts.values()))) - shared - set(numbers))
        self._event_ids = event_ids
        self._templates = {table: self._split(text) for table, text in texts.items()}

    def load_until(self, size: int) -> None:
        """Loads copies until there are `size` payments. Without triggers and references: the rows are consistent."""
        for partitioned in PARTITIONED_TABLES:
            make_partitions(partitioned, first=self._now - HISTORY, last=self._now)
        with open_session(options=None) as session:
            session.execute("SET session_replication_role = replica")
            first = self.loaded
            while first < size:
                is_recent = first < self._with_history
                end = min(first + CHUNK, size, self._with_history if is_recent else size)
                tables = tuple(self._templates) if is_recent else _KEPT
                used = {place for table in tables for place in self._templates[table]}
                values = [self._values(number, used) for number in range(first, end)]
                for table in tables:
                    names = ", ".join(f'"{name}"' for name in self._columns[table])
                    with (
                        session.cursor() as cursor,
                        cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
                    ):
                        for block in _fill(self._templates[table], values):
                            copy.write(block)
                first = end
            self.loaded = max(size, self.loaded)
            session.execute("VACUUM ANALYZE")
            session.execute("CHECKPOINT")

    def _split(self, text: str) -> list[str | int]:
        """The literal pieces of the text, and between them the places of values."""
        names = [*self._numbers, *self._uuids]
        marked = text
        for place, name in enumerate(names):
            marked = marked.replace(name, f"\0{place}\0")
        marked = _MINUTE.sub(lambda found: f"\0{len(names) + ('T' in found.group())}\0", marked)
        marked = _DAY.sub(f"\0{len(names) + 2}\0", marked)
        for place, event_id in enumerate(self._event_ids, len(names) + 3):
            marked = marked.replace(str(event_id), f"\0{place}\0")
        pieces = marked.split("\0")
        return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)]

    def _values(self, number: int, used: Container[int | str]) -> list[str]:
        """Those at places that are not `used` are empty."""
        at = self._time_of(number)
        milliseconds = int(at.timestamp() * 1000)
        bits = number * 0x9E3779B97F4A7C15
        tag = f"{bits & 0xFFFFFFFFFF:010x}{number:09d}"
        texts = [_renumber(text, number, tag) for text in self._numbers]
        ids = [
            _format_uuid(milliseconds << 80 | 7 << 76 | place << 68 | 2 << 62 | bits & ((1 << 62) - 1))
            if len(texts) + place in used
            else ""
            for place, _id in enumerate(self._uuids)
        ]
        times = [at.strftime("%Y-%m-%d %H:%M"), at.strftime("%Y-%m-%dT%H:%M"), at.strftime("%Y-%m-%d")]
        first_event = FIRST_EVENT_ID - (number + 1) * len(self._event_ids)
        events = [str(first_event + place) for place, _id in enumerate(self._event_ids)]
        return [*texts, *ids, *times, *events]

    def _time_of(self, number: int) -> dt.datetime:
        """Ascending within the history and within what is older, as rows are inserted in production."""
        begin = self._now - HISTORY
        if number < self._with_history:
            return begin + HISTORY * (number / self._with_history)
        return begin - YEARS + YEARS * min(1.0, (number - self._with_history) / MOST)


def _format_uuid(number: int) -> str:
    """As `str(uuid.UUID(int=number))`, in a third of the time."""
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _renumber(text: str, number: int, tag: str) -> str:
    """A text of the same length and beginning that belongs to this copy alone."""
    if text.startswith("PAY-"):
        return f"{text[:13]}{number * 7_919_000_003 % 10**12:012d}"
    return f"{text[: max(len(text) - 19, 2)]}{tag}"


def _fill(template: list[str | int], values: list[list[str]]) -> Iterator[bytes]:
    text = "".join("%s" if isinstance(piece, int) else piece.replace("%", "%%") for piece in template)
    places = [piece for piece in template if isinstance(piece, int)]
    for each in values:
        yield (text % tuple([each[place] for place in places])).encode()


def _writable_columns(session, table: str) -> list[str]:  # type: ignore[no-untyped-def]
    rows = session.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public'"
        " AND is_generated = 'NEVER' AND (table_name = 'outbox_events' OR is_identity = 'NO')"
        " ORDER BY ordinal_position",
        [table],
    )
    return [row[0] for row in rows]


def _copy_out(session, table: str, columns: list[str], payment_no: str) -> str:  # type: ignore[no-untyped-def]
    names = ", ".join(f't."{name}"' for name in columns)
    query = f"SELECT {names} FROM {table} t, payments p WHERE p.payment_no = %s AND {_ROWS_OF_PAYMENT[table]}"
    with session.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT", [payment_no]) as copy:
        return b"".join(bytes(block) for block in copy).decode()
