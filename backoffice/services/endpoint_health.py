"""The health of a merchant's webhook endpoints, from the newest deliveries of each: an index bounds the cost."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from webhooks.models import DisabledReason, EndpointKind, EndpointStatus

MAX_DELIVERIES = 500
MAX_RECENT, MAX_ATTEMPTS = 50, 20  # deliveries, and attempts of each, for the last success and failure
MAX_ENDPOINTS = 110  # as many as the API allows in both environments, and the two of `callback_url`

HEALTH = """
SELECT endpoint.id, endpoint.url, endpoint.kind, endpoint.environment, endpoint.status, endpoint.disabled_reason,
       day.seen, day.delivered, day.failed, day.pending, last.succeeded_at, last.failed_at
FROM (SELECT * FROM webhook_endpoints
      WHERE merchant_id = %(merchant)s AND environment IN ('test', 'live') AND status <> 'deleted'
      ORDER BY id DESC LIMIT %(endpoints)s) AS endpoint
CROSS JOIN LATERAL (
    SELECT count(*) AS seen, count(*) FILTER (WHERE status = 'delivered') AS delivered,
           count(*) FILTER (WHERE status = 'failed') AS failed, count(*) FILTER (WHERE status = 'pending') AS pending
    FROM (SELECT status, created_at FROM webhook_deliveries WHERE endpoint_id = endpoint.id
          ORDER BY id DESC LIMIT %(deliveries)s) AS newest
    WHERE created_at >= now() - interval '24 hours') AS day
CROSS JOIN LATERAL (
    SELECT max(started_at) FILTER (WHERE outcome = 'success') AS succeeded_at,
           max(started_at) FILTER (WHERE outcome NOT IN ('success', 'in_flight')) AS failed_at
    FROM (SELECT id FROM webhook_deliveries WHERE endpoint_id = endpoint.id ORDER BY id DESC LIMIT %(recent)s) AS recent
    CROSS JOIN LATERAL (SELECT started_at, outcome FROM webhook_attempts WHERE delivery_id = recent.id
                        ORDER BY fence DESC LIMIT %(attempts)s) AS attempt) AS last
ORDER BY endpoint.environment, endpoint.id
"""


@dataclass(frozen=True, slots=True)
class EndpointHealth:
    """`counts` are delivered, failed and pending."""

    id: UUID
    name: str
    environment: str
    state: str
    counts: tuple[int, int, int]
    is_truncated: bool
    succeeded_at: dt.datetime | None
    failed_at: dt.datetime | None


def load_endpoint_health(*, merchant_id: UUID) -> list[EndpointHealth]:
    with connection.cursor() as cursor:
        given: dict[str, UUID | int] = {
            "merchant": merchant_id,
            "endpoints": MAX_ENDPOINTS,
            "deliveries": MAX_DELIVERIES,
            "recent": MAX_RECENT,
            "attempts": MAX_ATTEMPTS,
        }
        cursor.execute(HEALTH, given)
        return [
            EndpointHealth(
                id=endpoint_id,
                name=url or str(EndpointKind(kind).label),
                environment=environment,
                state=_state(status, reason),
                counts=(delivered, failed, pending),
                is_truncated=seen >= MAX_DELIVERIES,
                succeeded_at=succeeded_at,
                failed_at=failed_at,
            )
            for (
                endpoint_id,
                url,
                kind,
                environment,
                status,
                reason,
                seen,
                delivered,
                failed,
                pending,
                succeeded_at,
                failed_at,
            ) in cursor.fetchall()
        ]


def _state(status: str, reason: str) -> str:
    label = str(EndpointStatus(status).label)
    return f"{label}: {DisabledReason(reason).label}" if reason else label
