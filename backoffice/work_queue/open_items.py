"""Finds the open items of the work queue: reviews, sagas, approvals, disputes and disabled endpoints.

An item is derived from its object in every request, so it leaves the queue when the object is settled. Each source uses
a partial index on open objects, and is cut at its limit after the filters.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import connection

from backoffice.approvals.decisions import VALID_FOR
from backoffice.work_queue.models import ItemKind
from gateway.models import ReviewCode
from sagas.thresholds import STUCK_AFTER_SECONDS

MAX_OF_A_SOURCE: Final = 500
MAX_SHOWN: Final = 50
REFUND_REVIEWS: Final = (ReviewCode.REFUND_FAILED, ReviewCode.REFUND_OUTCOME, ReviewCode.CHANNEL_REFUND)
# Codes of our own, beside those of reviews, approvals and disputes.
OVERDUE, STUCK, IN_REVIEW = "overdue", "stuck", "in_review"

# kind, object_id, number, page_id, amount_minor, currency, merchant_id, environment, code, reason, since, due_at
_PAYMENT_REVIEWS = """
SELECT 'payment' AS kind, review.id AS object_id, payment.payment_no AS number, payment.id AS page_id,
       payment.amount_minor, payment.currency, payment.merchant_id, payment.environment,
       review.code, review.text AS reason, review.opened_at AS since, NULL::timestamptz AS due_at
FROM payment_reviews AS review JOIN payments AS payment ON payment.id = review.payment_id
WHERE review.resolved_at IS NULL AND NOT review.code = ANY(%(refund_reviews)s) AND review.code <> 'dispute'
"""
_OVERDUE_PAYMENTS = """
SELECT 'payment' AS kind, id AS object_id, payment_no AS number, id AS page_id, amount_minor, currency, merchant_id,
       environment, 'overdue' AS code, '' AS reason, expires_at AS since, NULL::timestamptz AS due_at
FROM payments
WHERE status IN ('pending', 'processing') AND expires_at < clock_timestamp() - interval '15 minutes'
"""
_REFUND_REVIEWS = """
SELECT 'refund' AS kind, review.id AS object_id, coalesce(refund.refund_no, payment.payment_no) AS number,
       payment.id AS page_id, coalesce(refund.amount_minor, payment.amount_minor) AS amount_minor, payment.currency,
       payment.merchant_id, payment.environment, review.code, review.text AS reason, review.opened_at AS since,
       NULL::timestamptz AS due_at
FROM payment_reviews AS review
JOIN payments AS payment ON payment.id = review.payment_id
LEFT JOIN refunds AS refund ON refund.refund_no = review.subject AND refund.payment_id = payment.id
WHERE review.resolved_at IS NULL AND review.code = ANY(%(refund_reviews)s)
"""
# The cancellation of an earlier attempt is named `payment number/attempt number`.
_SAGA = """
SELECT 'saga' AS kind, saga.id AS object_id, saga.business_id AS number, saga.id AS page_id,
       coalesce(refund.amount_minor, payment.amount_minor) AS amount_minor,
       coalesce(refund.currency, payment.currency) AS currency,
       coalesce(refund.merchant_id, payment.merchant_id) AS merchant_id,
       coalesce(refund.environment, payment.environment) AS environment,
       {code} AS code, saga.attention_reason AS reason, {since} AS since, NULL::timestamptz AS due_at
FROM saga_instances AS saga
LEFT JOIN payments AS payment ON payment.payment_no = split_part(saga.business_id, '/', 1)
LEFT JOIN refunds AS refund ON refund.refund_no = saga.business_id
WHERE {condition}
"""
_SAGAS_IN_REVIEW = _SAGA.format(code="'in_review'", since="saga.updated_at", condition="saga.needs_attention")
_STUCK_SAGAS = _SAGA.format(
    code="'stuck'",
    since="saga.due_at",
    condition="saga.due_at < clock_timestamp() - make_interval(secs => %(stuck_after_seconds)s)",
)
_APPROVALS = """
SELECT 'approval' AS kind, approval.id AS object_id, approval.business_id AS number, approval.id AS page_id,
       nullif(approval.amount_minor, 0) AS amount_minor, approval.currency,
       coalesce(refund.merchant_id, payment.merchant_id) AS merchant_id,
       coalesce(refund.environment, payment.environment) AS environment,
       approval.operation AS code, approval.reason, approval.requested_at AS since,
       approval.requested_at + %(approval_valid_for)s AS due_at
FROM approvals AS approval
LEFT JOIN payments AS payment ON payment.payment_no = split_part(approval.business_id, '/', 1)
LEFT JOIN refunds AS refund ON refund.refund_no = approval.business_id
WHERE approval.state = 'pending' AND approval.requested_at > clock_timestamp() - %(approval_valid_for)s
"""
_DISPUTES = """
SELECT 'dispute' AS kind, dispute.id AS object_id, dispute.dispute_no AS number, dispute.id AS page_id,
       dispute.amount_minor, dispute.currency, dispute.merchant_id, dispute.environment, dispute.status AS code,
       dispute.reason, dispute.created_at AS since,
       CASE WHEN dispute.status = 'needs_response' THEN dispute.evidence_due_by END AS due_at
FROM disputes AS dispute
WHERE dispute.id IN (
    SELECT id FROM disputes WHERE status = 'needs_response'
    UNION
    SELECT disputed.id FROM payment_reviews AS review JOIN disputes AS disputed ON disputed.dispute_no = review.subject
    WHERE review.code = 'dispute' AND review.resolved_at IS NULL)
"""
_ENDPOINTS = """
SELECT 'endpoint' AS kind, id AS object_id, coalesce(nullif(url, ''), kind) AS number, id AS page_id,
       NULL::bigint AS amount_minor, NULL::text AS currency, merchant_id, environment, disabled_reason AS code,
       '' AS reason, disabled_at AS since, NULL::timestamptz AS due_at
FROM webhook_endpoints
WHERE status = 'disabled' AND disabled_reason IN ('gone', 'failing')
"""
SOURCES: Final[Sequence[tuple[ItemKind, str]]] = (
    (ItemKind.PAYMENT, _PAYMENT_REVIEWS),
    (ItemKind.PAYMENT, _OVERDUE_PAYMENTS),
    (ItemKind.REFUND, _REFUND_REVIEWS),
    (ItemKind.SAGA, _SAGAS_IN_REVIEW),
    (ItemKind.SAGA, _STUCK_SAGAS),
    (ItemKind.APPROVAL, _APPROVALS),
    (ItemKind.DISPUTE, _DISPUTES),
    (ItemKind.ENDPOINT, _ENDPOINTS),
)
_IS_SNOOZED = "(state.snoozed_until > clock_timestamp() AND state.snoozed_at >= source.since)"
_BOUNDED = """
(SELECT source.*, coalesce(state.assignee, '') AS assignee,
        CASE WHEN {is_snoozed} THEN state.snoozed_until END AS snoozed_until,
        coalesce(state.note, '') AS note, coalesce(state.noted_by, '') AS noted_by, state.noted_at
 FROM ({source}) AS source
 LEFT JOIN work_items AS state ON state.kind = source.kind AND state.object_id = source.object_id
 WHERE {condition} ORDER BY source.since LIMIT %(most)s)
"""
# What is due within two days comes first, then the oldest.
_ITEMS = """
SELECT item.kind, item.object_id, item.number, item.page_id, item.amount_minor, coalesce(item.currency, '') AS currency,
       item.merchant_id, coalesce(item.environment, '') AS environment, item.code, item.reason, item.since, item.due_at,
       item.assignee, item.snoozed_until, item.note, item.noted_by, item.noted_at,
       coalesce(merchant.name, '') AS merchant_name, coalesce(merchant.email, '') AS merchant_email,
       clock_timestamp() AS seen_at
FROM ({sources}) AS item LEFT JOIN merchants AS merchant ON merchant.id = item.merchant_id
ORDER BY coalesce(item.due_at < clock_timestamp() + interval '2 days', FALSE) DESC, item.since, item.object_id
LIMIT %(shown)s
"""
_COUNTS = "SELECT item.kind, count(*), min(item.since) FROM ({sources}) AS item GROUP BY item.kind"


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
    """`since`: when its trouble began. `due_at`: until when somebody must decide, if there is such a time."""

    kind: ItemKind
    object_id: UUID
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
    """At most `MAX_OF_A_SOURCE` of each source are counted."""

    count: int
    oldest_since: dt.datetime


def list_open_items(chosen: QueueFilter) -> list[OpenItem]:
    """The first `MAX_SHOWN` items: those due within two days, then the oldest."""
    if not chosen.kinds:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_statement(_ITEMS, chosen), _parameters(chosen))
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [OpenItem(**{**row, "kind": ItemKind(row["kind"])}) for row in rows]


def count_open_items(chosen: QueueFilter) -> Mapping[ItemKind, KindCount]:
    if not chosen.kinds:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_statement(_COUNTS, chosen), _parameters(chosen))
        return {ItemKind(kind): KindCount(count, oldest) for kind, count, oldest in cursor.fetchall()}


def _statement(statement: str, chosen: QueueFilter) -> str:
    conditions = ["TRUE"]
    if chosen.assignee:
        conditions.append("state.assignee = %(assignee)s")
    if chosen.is_unassigned:
        conditions.append("coalesce(state.assignee, '') = ''")
    if chosen.is_snoozed is not None:
        conditions.append(f"{'' if chosen.is_snoozed else 'NOT'} coalesce({_IS_SNOOZED}, FALSE)")
    if chosen.environment:
        conditions.append("coalesce(source.environment, %(environment)s) = %(environment)s")
    if chosen.merchant_id is not None:
        conditions.append("source.merchant_id = %(merchant_id)s")
    if chosen.object_ids:
        conditions.append("source.object_id = ANY(%(object_ids)s)")
    condition = " AND ".join(conditions)
    sources = [
        _BOUNDED.format(source=source, condition=condition, is_snoozed=_IS_SNOOZED)
        for kind, source in SOURCES
        if kind in chosen.kinds
    ]
    return statement.format(sources=" UNION ALL ".join(sources))


def _parameters(chosen: QueueFilter) -> dict[str, Any]:
    return {
        "refund_reviews": [code.value for code in REFUND_REVIEWS],
        "stuck_after_seconds": STUCK_AFTER_SECONDS,
        "approval_valid_for": VALID_FOR,
        "assignee": chosen.assignee,
        "environment": chosen.environment,
        "merchant_id": chosen.merchant_id,
        "object_ids": list(chosen.object_ids),
        "most": MAX_OF_A_SOURCE,
        "shown": MAX_SHOWN,
    }
