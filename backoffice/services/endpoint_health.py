"""How a merchant's webhook endpoints do, at a cost that has a bound: the newest deliveries of each, by index."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from webhooks.models import DisabledReason, EndpointKind, EndpointStatus

LOOKED_AT = 500
TOLD, ATTEMPTS = 50, 20  # deliveries and their attempts that tell when it last went well or wrong
MOST = 110  # endpoints: as many as the API allows in both environments, and the two of `callback_url`

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
    FROM (SELECT id FROM webhook_deliveries WHERE endpoint_id = endpoint.id ORDER BY id DESC LIMIT %(told)s) AS told
    CROSS JOIN LATERAL (SELECT started_at, outcome FROM webhook_attempts WHERE delivery_id = told.id
                        ORDER BY fence DESC LIMIT %(attempts)s) AS attempt) AS last
ORDER BY endpoint.environment, endpoint.id
"""


@dataclass(frozen=True, slots=True)
class Health:
    """`counts` are delivered, failed and pending."""

    id: UUID
    name: str
    environment: str
    state: str
    counts: tuple[int, int, int]
    is_more: bool
    succeeded_at: dt.datetime | None
    failed_at: dt.datetime | None


def of_merchant(*, merchant_id: UUID) -> list[Health]:
    with connection.cursor() as cursor:
        given: dict[str, UUID | int] = {
            "merchant": merchant_id,
            "endpoints": MOST,
            "deliveries": LOOKED_AT,
            "told": TOLD,
            "attempts": ATTEMPTS,
        }
        cursor.execute(HEALTH, given)
        return [
            Health(
                id=endpoint_id,
                name=url or str(EndpointKind(kind).label),
                environment=environment,
                state=_state(status, reason),
                counts=(delivered, failed, pending),
                is_more=seen >= LOOKED_AT,
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
