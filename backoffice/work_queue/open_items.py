"""Finds the open items of the work queue: reviews, sagas, approvals, disputes, disabled
endpoints, payout runs, payouts and bank accounts.

An item is derived from its object in every request, so it leaves the queue when the object is settled. The database
sorts each source by urgency before it cuts it, after the filters.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection

from audit.action_types import ObjectType
from backoffice.approvals.decisions import VALID_FOR
from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.sources import SOURCES, Source
from gateway.models import ReviewCode
from payouts.flow import APPROVAL_SECONDS
from sagas.thresholds import STUCK_AFTER_SECONDS

MAX_COUNTED: Final = 500
MAX_SHOWN: Final = 50
REFUND_REVIEWS: Final = (ReviewCode.REFUND_FAILED, ReviewCode.REFUND_OUTCOME, ReviewCode.CHANNEL_REFUND)

_IS_SNOOZED = "(state.snoozed_until > clock_timestamp() AND state.snoozed_at >= source.since)"
_WITH_STATE = """
FROM ({source}) AS source
LEFT JOIN work_items AS state ON state.kind = source.kind AND state.object_id = source.object_id
WHERE {condition}
"""
_IS_URGENT = "coalesce(source.due_at < clock_timestamp() + interval '2 days', FALSE)"
_FIRST = f"""
(SELECT source.*, {{urgency}} AS is_urgent, coalesce(state.assignee, '') AS assignee,
        CASE WHEN {_IS_SNOOZED} THEN state.snoozed_until END AS snoozed_until,
        coalesce(state.note, '') AS note, coalesce(state.noted_by, '') AS noted_by, state.noted_at
 {_WITH_STATE} ORDER BY {{order}} LIMIT %(shown)s)
"""
# What is due within two days comes first, then the oldest.
_ITEMS = """
SELECT item.kind, item.object_id, item.object_type, item.number, item.page_id, item.amount_minor,
       coalesce(item.currency, '') AS currency, item.merchant_id, coalesce(item.environment, '') AS environment,
       item.code, item.reason, item.since, item.due_at, item.assignee, item.snoozed_until, item.note, item.noted_by,
       item.noted_at, coalesce(merchant.name, '') AS merchant_name, coalesce(merchant.email, '') AS merchant_email,
       clock_timestamp() AS seen_at
FROM ({sources}) AS item LEFT JOIN merchants AS merchant ON merchant.id = item.merchant_id
ORDER BY item.is_urgent DESC, item.since, item.object_id
LIMIT %(shown)s
"""
_OLDEST = f"""
(SELECT source.kind, {{number}} AS number, source.since
 {_WITH_STATE} ORDER BY source.since LIMIT %(counted)s)
"""
_COUNTS = """
SELECT kind, sum(count)::int, min(since), bool_or(count = %(counted)s)
FROM (
    SELECT item.kind, count(*) AS count, min(item.since) AS since FROM ({sources}) AS item
    GROUP BY item.kind, item.number
) AS counted
GROUP BY kind
"""


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """`kinds` are those that the person may see. `is_snoozed` is None for both. An empty value filters nothing."""

    kinds: Collection[ItemKind]
    assignee: str = ""
    is_unassigned: bool = False
    is_snoozed: bool | None = False
    environment: str = ""
    merchant_id: UUID | None = None
    object_ids: Collection[UUID] = ()


@dataclass(frozen=True, slots=True)
class OpenItem:
    """`number` names an object of `object_type`. `since`: when its trouble began. `due_at`: until when somebody must
    decide, if there is such a time."""

    kind: ItemKind
    object_id: UUID
    object_type: ObjectType
    number: str
    page_id: UUID
    amount_minor: int | None
    currency: str
    merchant_id: UUID | None
    environment: str
    code: str
    reason: str
    since: dt.datetime
    due_at: dt.datetime | None
    assignee: str
    snoozed_until: dt.datetime | None
    note: str
    noted_by: str
    noted_at: dt.datetime | None
    merchant_name: str
    merchant_email: str
    seen_at: dt.datetime


@dataclass(frozen=True, slots=True)
class KindCount:
    """`is_capped`: a source has `MAX_COUNTED` items or more, and the rest are not counted."""

    count: int
    oldest_since: dt.datetime
    is_capped: bool


def list_open_items(chosen: QueueFilter) -> list[OpenItem]:
    """The first `MAX_SHOWN` items: those due within two days, then the oldest."""
    if not chosen.kinds:
        return []
    with connection.cursor() as cursor:
        cursor.execute(build_list_statement(chosen), build_parameters(chosen))
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        OpenItem(**{**row, "kind": ItemKind(row["kind"]), "object_type": ObjectType(row["object_type"])})
        for row in rows
    ]


def count_open_items(chosen: QueueFilter) -> Mapping[ItemKind, KindCount]:
    if not chosen.kinds:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(build_count_statement(chosen), build_parameters(chosen))
        return {ItemKind(kind): KindCount(*found) for kind, *found in cursor.fetchall()}


def build_list_statement(chosen: QueueFilter) -> str:
    condition = _build_condition(chosen)
    return _ITEMS.format(sources=" UNION ALL ".join(_first(source, condition) for source in _sources(chosen)))


def build_count_statement(chosen: QueueFilter) -> str:
    condition = _build_condition(chosen)
    sources = (
        _OLDEST.format(source=source.sql, number=number, condition=condition)
        for number, source in enumerate(_sources(chosen))
    )
    return _COUNTS.format(sources=" UNION ALL ".join(sources))


def _sources(chosen: QueueFilter) -> list[Source]:
    return [source for source in SOURCES if source.kind in chosen.kinds]


def _first(source: Source, condition: str) -> str:
    """Selects the first items of one source. Without due times the order is that of an index."""
    return _FIRST.format(
        source=source.sql,
        condition=condition,
        urgency=_IS_URGENT if source.has_due_time else "FALSE",
        order="is_urgent DESC, source.since, source.object_id" if source.has_due_time else "source.since",
    )


def _build_condition(chosen: QueueFilter) -> str:
    conditions = ["TRUE"]
    if chosen.assignee:
        conditions.append("state.assignee = %(assignee)s")
    if chosen.is_unassigned:
        conditions.append("coalesce(state.assignee, '') = ''")
    if chosen.is_snoozed is not None:
        conditions.append(f"{'' if chosen.is_snoozed else 'NOT'} coalesce({_IS_SNOOZED}, FALSE)")
    if chosen.environment:
        # Not `coalesce`, which no statistics describe.
        conditions.append("(source.environment = %(environment)s OR source.environment IS NULL)")
    if chosen.merchant_id is not None:
        conditions.append("source.merchant_id = %(merchant_id)s")
    if chosen.object_ids:
        conditions.append("source.object_id = ANY(%(object_ids)s)")
    return " AND ".join(conditions)


def build_parameters(chosen: QueueFilter) -> dict[str, Any]:
    return {
        "refund_reviews": [code.value for code in REFUND_REVIEWS],
        "stuck_after_seconds": STUCK_AFTER_SECONDS,
        "approval_valid_for": VALID_FOR,
        "payout_approval": dt.timedelta(seconds=APPROVAL_SECONDS),
        "payout_overdue": dt.timedelta(days=settings.PAYOUT_OVERDUE_DAYS),
        "assignee": chosen.assignee,
        "environment": chosen.environment,
        "merchant_id": chosen.merchant_id,
        "object_ids": list(chosen.object_ids),
        "counted": MAX_COUNTED,
        "shown": MAX_SHOWN,
    }
