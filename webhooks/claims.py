"""Claims due deliveries, fairly between merchants and endpoints (ADR 13).

- A claim goes from endpoint to endpoint, not through the oldest deliveries: the long backlog of one endpoint delays no
  other.
- A free place goes to the merchant with the fewest calls in flight, then to its endpoint with the fewest, then to the
  delivery that has been due longest.
- An endpoint has at most `MAX_CALLS_IN_FLIGHT` calls at the same time, over all workers.
- An endpoint that failed or answered slowly is in the slow lane, which gets a quarter of a worker's places. A fast
  endpoint with a call that has been in flight for longer than `SLOW_SECONDS` is stalled: it gets no further call until
  that one ends, because only then is it known whether the endpoint is slow.

A claim takes a lease and raises the fencing token (column `fence`). When the lease expires, the delivery is due again.
Only the worker with the newest token can record an outcome. The row of the attempt is written with the claim: intent
before call.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection, transaction

from webhooks.models import Lane

# Longer than a call can take, its DNS lookup included.
LEASE_SECONDS = 60.0
MAX_CALLS_IN_FLIGHT = {Lane.FAST: 4, Lane.SLOW: 2}  # for one endpoint
# A success that took longer moves the endpoint to the slow lane.
SLOW_SECONDS = 2.0

# Each endpoint with pending deliveries, and when the first of them is due: one probe of the index
# `webhook_delivery_turn` for each endpoint.
PENDING_ENDPOINTS = """
pending_endpoints AS (
    (SELECT endpoint_id, due_at FROM webhook_deliveries WHERE status = 'pending'
     ORDER BY endpoint_id, due_at LIMIT 1)
    UNION ALL
    SELECT following.endpoint_id, following.due_at FROM pending_endpoints CROSS JOIN LATERAL (
        SELECT endpoint_id, due_at FROM webhook_deliveries
        WHERE status = 'pending' AND endpoint_id > pending_endpoints.endpoint_id
        ORDER BY endpoint_id, due_at LIMIT 1) AS following
)"""

# 1. `calls_in_flight`: the calls of each endpoint that have not ended, and whether the endpoint is stalled.
# 2. `candidates`: the first due deliveries of each endpoint that may have a further call. `queue_position` counts in
#    the endpoint's queue; `fair_rank` adds its calls in flight, so that the endpoint with the fewest comes first.
# 3. `chosen`: fills the free places fairly between merchants, then between the endpoints of one merchant.
# 4. `locked`, `claimed`, `attempts`: takes the leases, raises the fencing tokens and writes the intents.
# `candidates` reads the next few rows of the index from the endpoint's first one and drops those of other endpoints
# afterwards. So the planner cannot choose to search all due deliveries, whatever the statistics say.
CLAIM_SQL = f"""
WITH RECURSIVE {PENDING_ENDPOINTS}, calls_in_flight AS (
    SELECT endpoint_id, count(*) AS calls,
           %(lane)s = 'fast' AND min(lease_expires_at) < clock_timestamp()
               + make_interval(secs => %(lease_seconds)s::float8 - %(slow_seconds)s::float8) AS is_stalled
    FROM webhook_deliveries WHERE lease_expires_at > clock_timestamp() GROUP BY endpoint_id
), candidates AS (
    SELECT due.id, pending_endpoints.due_at, endpoint.merchant_id,
           due.queue_position + coalesce(calls_in_flight.calls, 0) AS fair_rank
    FROM pending_endpoints
    JOIN webhook_endpoints AS endpoint ON endpoint.id = pending_endpoints.endpoint_id
    LEFT JOIN calls_in_flight ON calls_in_flight.endpoint_id = pending_endpoints.endpoint_id
    CROSS JOIN LATERAL (
        SELECT id, row_number() OVER (ORDER BY due_at) AS queue_position FROM (
            SELECT id, endpoint_id, due_at FROM webhook_deliveries
            WHERE status = 'pending' AND endpoint_id >= pending_endpoints.endpoint_id
            ORDER BY endpoint_id, due_at LIMIT %(max_calls)s) AS next
        WHERE next.endpoint_id = pending_endpoints.endpoint_id AND next.due_at <= clock_timestamp()) AS due
    WHERE pending_endpoints.due_at <= clock_timestamp() AND endpoint.status = 'enabled' AND endpoint.lane = %(lane)s
      AND due.queue_position <= %(max_calls)s - coalesce(calls_in_flight.calls, 0)
      AND NOT coalesce(calls_in_flight.is_stalled, false)
), calls_of_merchant AS (
    SELECT endpoint.merchant_id, sum(calls_in_flight.calls) AS calls
    FROM calls_in_flight JOIN webhook_endpoints AS endpoint ON endpoint.id = calls_in_flight.endpoint_id
    WHERE endpoint.lane = %(lane)s GROUP BY endpoint.merchant_id
), chosen AS (
    SELECT candidates.id FROM candidates
    LEFT JOIN calls_of_merchant ON calls_of_merchant.merchant_id = candidates.merchant_id
    ORDER BY coalesce(calls_of_merchant.calls, 0)
             + row_number() OVER (PARTITION BY candidates.merchant_id ORDER BY candidates.fair_rank, candidates.due_at),
             candidates.fair_rank, candidates.due_at LIMIT %(places)s
), locked AS (
    SELECT id FROM webhook_deliveries
    WHERE id IN (SELECT id FROM chosen) AND status = 'pending' AND due_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE webhook_deliveries AS delivery
    SET due_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8),
        lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s::float8),
        fence = fence + 1, attempt_count = attempt_count + 1, updated_at = clock_timestamp()
    FROM locked WHERE delivery.id = locked.id
    RETURNING delivery.id, delivery.event_id, delivery.endpoint_id, delivery.callback_url, delivery.fence,
              delivery.attempt_count
), abandoned AS (
    UPDATE webhook_attempts SET outcome = 'abandoned' FROM claimed
    WHERE delivery_id = claimed.id AND outcome = 'in_flight'
), attempts AS (
    INSERT INTO webhook_attempts (delivery_id, fence, url, outcome, response_headers, response_body, error, started_at)
    SELECT claimed.id, claimed.fence,
           CASE endpoint.kind WHEN 'callback' THEN claimed.callback_url ELSE endpoint.url END,
           'in_flight', '{{}}', '', '', clock_timestamp()
    FROM claimed JOIN webhook_endpoints AS endpoint ON endpoint.id = claimed.endpoint_id
    RETURNING delivery_id, url
)
SELECT claimed.id, claimed.event_id, claimed.endpoint_id, claimed.fence, claimed.attempt_count, attempts.url
FROM claimed JOIN attempts ON attempts.delivery_id = claimed.id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """A delivery that this worker holds until the lease expires. `attempt_count` includes the attempt to be made."""

    lane: Lane
    delivery_id: uuid.UUID
    event_id: int
    endpoint_id: uuid.UUID
    fence: int
    attempt_count: int
    url: str


def claim_deliveries(
    *, lane: Lane, places: int, lease_seconds: float = LEASE_SECONDS
) -> Sequence[ClaimedDelivery]:
    """Claims at most `places` due deliveries of endpoints in this lane, and commits."""
    if places <= 0:
        return []
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM_SQL, claim_parameters(lane=lane, places=places, lease_seconds=lease_seconds))
        return [ClaimedDelivery(lane, *row) for row in cursor.fetchall()]


def claim_parameters(*, lane: Lane, places: int, lease_seconds: float) -> dict[str, str | float]:
    """The parameters of `CLAIM_SQL`."""
    return {
        "lane": lane.value,
        "max_calls": MAX_CALLS_IN_FLIGHT[lane],
        "places": places,
        "lease_seconds": lease_seconds,
        "slow_seconds": SLOW_SECONDS,
    }
