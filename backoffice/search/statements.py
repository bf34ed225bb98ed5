"""The statement of the search. It reads the ids of all that begins with the term: one range of one index for each kind
of number, in the order of that index, so that its time does not depend on the size of a table (ADR 43).

Bounds and not LIKE: no character of the term has a meaning of its own, and a plan that was made for another term is as
good for this one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from backoffice.search.terms import Term

MAX_FOUND = 50  # of one source and, where the environment matters, of each environment
MAX_READ = 500  # rows of one source that are read to find those of the environment
SCOPED_TABLES: Final = frozenset({"payments", "orders", "refunds", "disputes"})  # with a column `environment`
# Greater than every text that begins with what stands before it: the last character of Unicode.
_LAST = "chr(1114111)"


@dataclass(frozen=True, slots=True)
class Prefix:
    """`text` is the expression of an index with pattern operators, `typed` makes the term comparable with it."""

    source: str
    table: str
    text: str
    typed: str = "upper(%(text)s)"
    condition: str = "true"
    result: str = "id"


def _customer(key: str) -> Prefix:
    return Prefix(
        f"customer_{key}", "payments", f"upper((customer ->> '{key}'))", condition=f"customer ? '{key}'"
    )


PREFIXES: Final[Sequence[Prefix]] = (
    Prefix("payment_no", "payments", "payment_no"),
    Prefix("trade_no", "payments", "upper(channel_trade_no)", condition="channel_trade_no <> ''"),
    _customer("email"),
    _customer("id"),
    _customer("name"),
    Prefix("order_no", "orders", "upper(order_no)"),
    Prefix("refund_no", "refunds", "refund_no"),
    Prefix("channel_refund_no", "refunds", "upper(channel_refund_no)", condition="channel_refund_no <> ''"),
    Prefix("dispute_no", "disputes", "dispute_no"),
    Prefix("channel_dispute_no", "disputes", "upper(channel_dispute_no)"),
    Prefix("merchant_name", "merchants", "upper(name)"),
    Prefix("merchant_email", "merchants", "email", typed="lower(%(text)s)"),
    Prefix(
        "request_id",
        "idempotency_keys",
        "request_id",
        typed="%(text)s",
        condition="request_id <> ''",
    ),
    Prefix(
        "created_by_request",
        "idempotency_keys",
        "request_id",
        typed="%(text)s",
        condition="request_id <> ''",
        result="resource_id",
    ),
    Prefix(
        "staff_request_id",
        "staff_actions",
        "request_id",
        typed="%(text)s",
        condition="request_id <> ''",
    ),
)
# In full: no index answers the beginning of an attempt's reference, of a channel's event or of a saga's subject.
EXACT: Final = (
    """(SELECT 'attempt' AS source, payment_id::text AS id, true AS is_exact FROM payment_attempts
        WHERE reference = upper(%(text)s) AND reference <> '' LIMIT %(limit)s)""",
    """(SELECT 'order_payment', payments.id::text, true FROM orders JOIN payments ON payments.order_id = orders.id
        WHERE upper(orders.order_no) = upper(%(text)s) LIMIT %(limit)s)""",
    """(SELECT 'event_id', id::text, true FROM channel_events
        WHERE channel = ANY (%(channels)s) AND event_id = %(text)s LIMIT %(limit)s)""",
    """(SELECT 'business_id', id::text, true FROM saga_instances
        WHERE business_id IN (%(text)s, upper(%(text)s)) LIMIT %(limit)s)""",
)
_IDS: Final = {
    "payment_id": "payments",
    "order_id": "orders",
    "refund_id": "refunds",
    "dispute_id": "disputes",
    "saga_id": "saga_instances",
    "merchant_id": "merchants",
}
# The newest of each currency: a price that a million payments have costs as much as one that a single payment has.
_AMOUNTS: Final = """SELECT found.id::text AS id, false AS is_exact, found.created_at, found.environment FROM
    unnest(%(currencies)s::text[], %(amounts)s::bigint[]) AS wanted (currency, amount_minor),
    LATERAL (SELECT id, created_at, environment FROM {table} AS rows
        WHERE rows.currency = wanted.currency AND rows.amount_minor = wanted.amount_minor {condition}
        ORDER BY rows.created_at DESC LIMIT %(read)s) AS found"""
_OF_CARD: Final = "AND rows.card_last_four = %(card_last_four)s AND rows.card_last_four <> ''"


@dataclass(frozen=True, slots=True)
class FoundIds:
    """Ids by source, and which of them are named by the term in full."""

    ids: dict[str, list[str]]
    exact: frozenset[tuple[str, str]]

    def of(self, *sources: str) -> list[str]:
        return [each for source in sources for each in self.ids.get(source, ())]

    def exact_of(self, *sources: str) -> set[str]:
        return {each for source, each in self.exact if source in sources}


def find_ids(
    term: Term, channels: Sequence[str], only: Sequence[str] = (), *, environment: str = ""
) -> FoundIds:
    """`only` names the prefixes to read; without it, everything is read. With an environment, its rows are found also
    behind many rows of the other one, up to `MAX_READ`."""
    ids: dict[str, list[str]] = {}
    exact = set()
    sql, parameters = build_statement(term, channels, only, environment=environment)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        for source, found, is_exact in cursor.fetchall():
            ids.setdefault(source, []).append(found)
            if is_exact:
                exact.add((source, found))
    return FoundIds(ids, frozenset(exact))


def build_statement(
    term: Term, channels: Sequence[str], only: Sequence[str] = (), *, environment: str = ""
) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any] = {
        "text": term.text,
        "limit": MAX_FOUND,
        "channels": list(channels),
        "environment": environment,
        "read": MAX_READ if environment else MAX_FOUND,
    }
    prefixes = [
        _prefix_part(each, is_scoped=bool(environment))
        for each in PREFIXES
        if not only or each.source in only
    ]
    if only:
        return "\nUNION ALL ".join(prefixes), parameters
    parts = [*EXACT, *prefixes]
    if term.amounts:
        currencies, amounts = zip(*term.amounts, strict=True)
        parameters |= {"currencies": list(currencies), "amounts": list(amounts)}
        parts += list(_amount_parts(term, parameters))
    if term.ids is not None:
        parameters |= {"first": term.ids.first, "last": term.ids.last}
        parts += _id_parts()
    return "\nUNION ALL ".join(parts), parameters


def _amount_parts(term: Term, parameters: dict[str, Any]) -> Iterator[str]:
    """With the last four digits of a card: payments alone, because a refund has no card of its own."""
    if term.card_last_four:
        parameters["card_last_four"] = term.card_last_four
        yield _amount_part("payment_amount", "payments", _OF_CARD)
        return
    yield _amount_part("payment_amount", "payments")
    yield _amount_part("refund_amount", "refunds")


def _amount_part(source: str, table: str, condition: str = "") -> str:
    """The newest, of each environment."""
    rows = _AMOUNTS.format(table=table, condition=condition)
    return _first_of_each_environment(source, rows, order="created_at DESC")


def _prefix_part(each: Prefix, *, is_scoped: bool) -> str:
    """In the order of the index, so that what has exactly this name comes first."""
    if is_scoped and each.table in SCOPED_TABLES:
        return _first_of_each_environment(
            each.source,
            f"""SELECT {each.result}::text AS id, {each.text} = {each.typed} AS is_exact, {each.text} AS place,
                environment FROM {each.table}
            WHERE {each.text} ~>=~ {each.typed} AND {each.text} ~<~ ({each.typed} || {_LAST}) AND {each.condition}
            ORDER BY {each.text} USING ~<~ LIMIT %(read)s""",  # noqa: S608 - no part of it comes from outside
            order="place USING ~<~",
        )
    return f"""(SELECT '{each.source}', {each.result}::text, {each.text} = {each.typed} FROM {each.table}
        WHERE {each.text} ~>=~ {each.typed} AND {each.text} ~<~ ({each.typed} || {_LAST}) AND {each.condition}
        ORDER BY {each.text} USING ~<~ LIMIT %(limit)s)"""  # noqa: S608 - no part of it comes from outside


def _first_of_each_environment(source: str, rows: str, *, order: str) -> str:
    """So that the rows of one environment do not hide those of the other."""
    return f"""(SELECT '{source}', id, is_exact FROM (
        SELECT id, is_exact, row_number() OVER (PARTITION BY environment ORDER BY {order}) AS number
        FROM ({rows}) AS found) AS numbered WHERE number <= %(limit)s)"""  # noqa: S608 - no part comes from outside


def _id_parts() -> Iterator[str]:
    for source, table in _IDS.items():
        yield f"""(SELECT '{source}', id::text, %(first)s = %(last)s FROM {table}
            WHERE id BETWEEN %(first)s AND %(last)s ORDER BY id LIMIT %(limit)s)"""  # noqa: S608
