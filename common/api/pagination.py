"""Keyset pagination: the last page is as fast as the first."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _

from common.errors import ValidationFailed

M = TypeVar("M", bound=Model)
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
# A cursor is the time of the last row in microseconds, and its id, both in hexadecimal.
TIME_DIGITS: Final = 14
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND: Final = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    rows: list[M]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class IndexPrefix:
    """A column that stands before `created_at` in the index of a list, and all its values.

    A list that is not narrowed to one value reads the newest rows of each value, instead of all rows.
    """

    column: str
    values: Sequence[str]


def load_page(
    rows: QuerySet[M],
    *,
    cursor: str | None,
    limit: int,
    key: str = "id",
    index_prefix: IndexPrefix | None = None,
) -> Page[M]:
    """Loads one page, newest first. `key` is a unique UUID column that orders rows of the same time.

    Every index of a list ends with `created_at` and `key`, both descending, so that a page reads its own rows only.
    Raises `ValidationFailed` for a wrong cursor.
    """
    if rows.query.is_empty():
        return Page([], None)  # Django refuses `QuerySet.none()` as a part of a union
    if cursor:
        at, last = _read_cursor(cursor)
        # The index can start at the first condition; the second excludes rows of the same time.
        rows = rows.filter(created_at__lte=at).filter(Q(created_at__lt=at) | Q(**{f"{key}__lt": last}))
    order = ("-created_at", f"-{key}")
    if index_prefix:
        each = [
            rows.filter(**{index_prefix.column: value})
            .order_by(*order)
            .values_list("created_at", key)[: limit + 1]
            for value in index_prefix.values
        ]
        newest = each[0].union(*each[1:], all=True).order_by(*order)[: limit + 1]
        found = list(rows.filter(**{f"{key}__in": [row[1] for row in newest]}).order_by(*order))
    else:
        found = list(rows.order_by(*order)[: limit + 1])
    more = len(found) > limit
    return Page(rows=found[:limit], next_cursor=_cursor_of(found[limit - 1], key) if more else None)


def filter_created_range(rows: QuerySet[M], query: Mapping[str, Any]) -> QuerySet[M]:
    """Narrows to `created_from` and `created_to` of a `CreatedRangeQuery`."""
    if "created_from" in query:
        rows = rows.filter(created_at__gte=query["created_from"])
    if "created_to" in query:
        rows = rows.filter(created_at__lt=query["created_to"])
    return rows


def _cursor_of(row: Any, key: str) -> str:
    return f"{(row.created_at - EPOCH) // MICROSECOND:0{TIME_DIGITS}x}{getattr(row, key).hex}"


def _read_cursor(cursor: str) -> tuple[dt.datetime, uuid.UUID]:
    try:
        if not cursor.isascii() or not cursor.isalnum():
            raise ValueError(cursor)
        at = EPOCH + int(cursor[:TIME_DIGITS], 16) * MICROSECOND
        return at, uuid.UUID(hex=cursor[TIME_DIGITS:])
    except (ValueError, OverflowError) as error:
        raise ValidationFailed({"cursor": [_("Use the `next_cursor` of an earlier answer.")]}) from error


def page_body(page: Page[M], render: Any) -> dict[str, Any]:
    return {"items": [render(row) for row in page.rows], "next_cursor": page.next_cursor}
