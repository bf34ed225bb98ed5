"""Counts and ages of the backlogs: events to publish, events to fan out, and webhooks to deliver.

Counts are bounded. A webhook counts from when it is due, not while it waits for its next attempt, and not at a disabled
endpoint. As in the claim of deliveries (ADR 13), the query reads one row for each endpoint and not its backlog, so that
the backlog of a disabled endpoint costs nothing. The range of both columns lets the planner use the index
(endpoint_id, due_at).
"""

from typing import Final

from webhooks.claims import PENDING_ENDPOINTS

_OUTBOX: Final = """
SELECT count(*), extract(epoch FROM clock_timestamp() - min(created_at))::float8
FROM (SELECT created_at FROM outbox_events WHERE {column} IS NULL ORDER BY id LIMIT %(most)s) AS bounded
"""
_WEBHOOKS: Final = f"""
WITH RECURSIVE {PENDING_ENDPOINTS}, late AS (
    SELECT pending_endpoints.endpoint_id, pending_endpoints.due_at FROM pending_endpoints
    JOIN webhook_endpoints AS endpoint ON endpoint.id = pending_endpoints.endpoint_id
         AND endpoint.status = 'enabled'
    WHERE pending_endpoints.due_at <= clock_timestamp()
)
SELECT (SELECT count(*) FROM (
            SELECT 1 FROM late CROSS JOIN LATERAL (
                SELECT 1 FROM webhook_deliveries
                WHERE status = 'pending' AND (endpoint_id, due_at) >= (late.endpoint_id, late.due_at)
                  AND (endpoint_id, due_at) <= (late.endpoint_id, clock_timestamp())
                ORDER BY endpoint_id, due_at LIMIT %(most)s) AS due
            LIMIT %(most)s) AS bounded),
       extract(epoch FROM clock_timestamp() - (SELECT min(due_at) FROM late))::float8
"""  # noqa: S608
LAGS: Final = {
    "outbox": _OUTBOX.format(column="published_at"),
    "fan_out": _OUTBOX.format(column="fanned_out_at"),
    "webhooks": _WEBHOOKS,
}
