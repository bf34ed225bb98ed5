"""Keyset pages: page one million is as fast as page one."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet

from common.errors import ValidationFailed
from common.ids import earliest

M = TypeVar("M", bound=Model)
DEFAULT_LIMIT, MAX_LIMIT = 20, 100


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    rows: list[M]
    next_cursor: str | None


def page_of(rows: QuerySet[M], *, cursor: str | None, limit: int, key: str = "pk") -> Page[M]:
    """Newest first. `key` names a unique column of version 7 UUIDs, so that its order is the order of creation."""
    if cursor:
        rows = rows.filter(**{f"{key}__lt": _read_cursor(cursor)})
    found = list(rows.order_by(f"-{key}")[: limit + 1])
    more = len(found) > limit
    return Page(rows=found[:limit], next_cursor=getattr(found[limit - 1], key).hex if more else None)


def created_within(rows: QuerySet[M], query: Mapping[str, Any], *, key: str = "pk") -> QuerySet[M]:
    """Narrows to `created_from` and `created_to` of a `CreatedRangeQuery`. `key` as in `page_of`: the index that the
    page is read by knows no times, and who asks for the last minute would have all history read through."""
    if "created_from" in query:
        since = query["created_from"]
        rows = rows.filter(created_at__gte=since, **{f"{key}__gte": earliest(since)})
    if "created_to" in query:
        rows = rows.filter(created_at__lt=query["created_to"])
    return rows


def _read_cursor(cursor: str) -> uuid.UUID:
    try:
        return uuid.UUID(hex=cursor)
    except ValueError as error:
        raise ValidationFailed({"cursor": ["not a cursor this API gave out"]}) from error


def page_body(page: Page[M], render: Any) -> dict[str, Any]:
    return {"items": [render(row) for row in page.rows], "next_cursor": page.next_cursor}
