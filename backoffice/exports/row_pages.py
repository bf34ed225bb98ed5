"""Reads the rows of an export page by page. No cursor or transaction stays open during a slow download."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from backoffice.exports.kinds import ExportKind, Row
from backoffice.exports.list_filters import LIST, list_rows
from common.postgresql.replica import REPLICA

Position = Sequence[Any]
TIMES: Mapping[str, str] = {"created_from": "created_at__gte", "created_until": "created_at__lt"}


@dataclass(frozen=True, slots=True)
class RowPage:
    """`position` is that of the last row: the next page begins after it."""

    rows: Sequence[Row]
    position: Position | None


def matching_rows(kind: ExportKind, filters: Mapping[str, str]) -> QuerySet[Any]:
    """Raises `NoSuchList`."""
    lookups = {**kind.filters, **TIMES}
    wanted = {lookups[name]: value for name, value in filters.items() if name in lookups and value}
    as_shown = filters.get(LIST)
    rows = list_rows(kind.model, as_shown) if as_shown else kind.model._base_manager.all()
    return rows.filter(**wanted)


def count_up_to(kind: ExportKind, filters: Mapping[str, str], limit: int) -> int:
    return matching_rows(kind, filters).order_by().values("pk")[:limit].count()


def read_page(
    kind: ExportKind,
    filters: Mapping[str, str],
    *,
    after: Position | None,
    size: int,
    database: str | None = None,
) -> RowPage:
    """Up to `size` rows after a position, from the named database."""
    fields = {field for column in kind.columns for field in column.needs}
    rows = matching_rows(kind, filters).order_by(*(f"-{name}" for name in kind.order))
    if database == REPLICA:
        rows = rows.using(REPLICA)
    if after is not None:
        rows = rows.filter(_beyond(kind, after))
    found = list(rows.values(*fields, *kind.order)[:size])
    position = [_plain(found[-1][name]) for name in kind.order] if found else None
    return RowPage(found, position)


def read_pages(
    kind: ExportKind, filters: Mapping[str, str], *, size: int, limit: int, database: str | None = None
) -> Iterator[Sequence[Row]]:
    """Up to `limit` rows."""
    after, remaining = None, limit
    while remaining > 0:
        found = read_page(kind, filters, after=after, size=min(size, remaining), database=database)
        if not found.rows:
            return
        yield found.rows
        after, remaining = found.position, remaining - len(found.rows)


def _beyond(kind: ExportKind, position: Position) -> Q:
    """The rows after this one, in reading order. The first comparison gives the index its start."""
    if len(kind.order) == 1:
        return Q(pk__lt=position[0])
    moment, key = _as_moment(position[0]), position[1]
    return Q(created_at__lte=moment) & (Q(created_at__lt=moment) | Q(pk__lt=key))


def _as_moment(text: str) -> dt.datetime:
    moment = parse_datetime(text)
    assert moment is not None
    return moment


def _plain(value: Any) -> Any:
    """Returns the value as JSON can store it. Seconds keep six decimals, like PostgreSQL."""
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="microseconds")
    return value if isinstance(value, int) else str(value)
