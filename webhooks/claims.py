"""Which deliveries a worker takes next, so that nobody waits behind an endpoint that is slow or dead (ADR 13).

Every endpoint with something due is looked at, not the oldest rows: a dead endpoint's backlog hides nobody. A free
place goes to the merchant with the fewest calls in flight and, of its endpoints, to the one with the fewest: an old
backlog goes before nobody. An endpoint has a limited number of calls in flight, all workers together, and those that
failed or were slow last time share a quarter of a worker's places. One whose call has been going on for longer than
that gets no further call among the quick ones until it ends: nobody knows yet what it is.

A claim is a lease with a fence: what was claimed is due again when the lease ends, and only who holds the newest
fence may record an outcome. The attempt's row is written with the claim: intent before call.

An endpoint's first deliveries are read as the next few from its place in the index of turns, and those of others are
left out afterwards: whatever the statistics say, the planner cannot look for them among everybody's that are due.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from webhooks.models import Lane

# Longer than a call can take, its look at the name server included.
LEASE_SECONDS = 60.0
LIMITS = {Lane.FAST: 4, Lane.SLOW: 2}  # calls in flight for one endpoint
# Answering later than this is slow: the endpoint leaves the fast lane until it is quick again.
SLOW_SECONDS = 2.0

# Of each endpoint with something pending, when the first of it is due: a probe of the index of turns for each.
WAITING = """
waiting AS (
    (SELECT endpoint_id, due_at FROM webhook_deliveries WHERE status = 'pending'
     ORDER BY endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.due_at FROM waiting CROSS JOIN LATERAL (
        SELECT endpoint_id, due_at FROM webhook_deliveries
        WHERE status = 'pending' AND endpoint_id > waiting.endpoint_id
        ORDER BY endpoint_id, due_at LIMIT 1) AS following
)"""

CLAIM = f"""
WITH RECURSIVE {WAITING}, busy AS (
    SELECT endpoint_id, count(*) AS calls,
           %(lane)s = 'fast' AND min(lease_expires_at) < clock_timestamp()
               + make_interval(secs => %(lease)s::float8 - %(slow)s::float8) AS stalled
    FROM webhook_deliveries WHERE lease_expires_at > clock_timestamp() GROUP BY endpoint_id
), ready AS (
    SELECT due.id, waiting.due_at, endpoint.merchant_id, due.place + coalesce(busy.calls, 0) AS place FROM waiting
    JOIN webhook_endpoints AS endpoint ON endpoint.id = waiting.endpoint_id
    LEFT JOIN busy ON busy.endpoint_id = waiting.endpoint_id
    CROSS JOIN LATERAL (
        SELECT id, row_number() OVER (ORDER BY due_at) AS place FROM (
            SELECT id, endpoint_id, due_at FROM webhook_deliveries
            WHERE status = 'pending' AND endpoint_id >= waiting.endpoint_id
            ORDER BY endpoint_id, due_at LIMIT %(limit)s) AS next
        WHERE next.endpoint_id = waiting.endpoint_id AND next.due_at <= clock_timestamp()) AS due
    WHERE waiting.due_at <= clock_timestamp() AND endpoint.status = 'enabled' AND endpoint.lane = %(lane)s
      AND due.place <= %(limit)s - coalesce(busy.calls, 0) AND NOT coalesce(busy.stalled, false)
), has AS (
    SELECT endpoint.merchant_id, sum(busy.calls) AS calls
    FROM busy JOIN webhook_endpoints AS endpoint ON endpoint.id = busy.endpoint_id
    WHERE endpoint.lane = %(lane)s GROUP BY endpoint.merchant_id
), turn AS (
    SELECT ready.id FROM ready LEFT JOIN has ON has.merchant_id = ready.merchant_id
    ORDER BY coalesce(has.calls, 0)
             + row_number() OVER (PARTITION BY ready.merchant_id ORDER BY ready.place, ready.due_at),
             ready.place, ready.due_at LIMIT %(places)s
), locked AS (
    SELECT id FROM webhook_deliveries
    WHERE id IN (SELECT id FROM turn) AND status = 'pending' AND due_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE webhook_deliveries AS delivery
    SET due_at = clock_timestamp() + make_interval(secs => %(lease)s::float8),
        lease_expires_at = clock_timestamp() + make_interval(secs => %(lease)s::float8),
        fence = fence + 1, attempt_count = attempt_count + 1, updated_at = clock_timestamp()
    FROM locked WHERE delivery.id = locked.id
    RETURNING delivery.id, delivery.event_id, delivery.endpoint_id, delivery.callback_url, delivery.fence,
              delivery.attempt_count
), abandoned AS (
    UPDATE webhook_attempts SET outcome = 'abandoned' FROM claimed
    WHERE delivery_id = claimed.id AND outcome = 'in_flight'
), begun AS (
    INSERT INTO webhook_attempts (delivery_id, fence, url, outcome, response_headers, response_body, error, started_at)
    SELECT claimed.id, claimed.fence,
           CASE endpoint.kind WHEN 'callback' THEN claimed.callback_url ELSE endpoint.url END,
           'in_flight', '{{}}', '', '', clock_timestamp()
    FROM claimed JOIN webhook_endpoints AS endpoint ON endpoint.id = claimed.endpoint_id
    RETURNING delivery_id, url
)
SELECT claimed.id, claimed.event_id, claimed.endpoint_id, claimed.fence, claimed.attempt_count, begun.url
FROM claimed JOIN begun ON begun.delivery_id = claimed.id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that is ours until the lease ends. `attempt_count` counts this attempt too."""

    delivery_id: uuid.UUID
    event_id: int
    endpoint_id: uuid.UUID
    fence: int
    attempt_count: int
    url: str


def claim(*, lane: Lane, places: int, lease_seconds: float = LEASE_SECONDS) -> Sequence[Claim]:
    """At most `places` deliveries of endpoints in this lane, committed."""
    if places <= 0:
        return []
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM, values_of(lane=lane, places=places, lease_seconds=lease_seconds))
        return [Claim(*row) for row in cursor.fetchall()]


def values_of(*, lane: Lane, places: int, lease_seconds: float) -> dict[str, str | float]:
    """What `CLAIM` is to be run with."""
    return {
        "lane": lane.value,
        "limit": LIMITS[lane],
        "places": places,
        "lease": lease_seconds,
        "slow": SLOW_SECONDS,
    }
