"""Fans events out: inserts one delivery for each endpoint of an event, in the transaction that marks the event.

No event is lost and none is fanned out twice. Order does not matter here, so any number of relays can do this at the
same time: rows that another one has locked are skipped.
"""

import threading
import uuid
from collections.abc import Iterable

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction
from psycopg_pool import PoolTimeout

from common.crypto import seal
from common.database_errors import classify_database_error
from common.db import insert_unless_exists
from webhooks.models import EndpointKind, WebhookEndpoint
from webhooks.signing import new_secret

log = structlog.get_logger(__name__)

BATCH = 500
POLL_SECONDS = 0.2
RECONNECT_SECONDS = 2.0

CLAIM_EVENTS = """
SELECT id, merchant_id, environment, callback_url <> '' FROM outbox_events
WHERE fanned_out_at IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
# `endpoint.status` is not locked: an endpoint that is disabled at this moment may still get this event.
_INSERT_DELIVERIES = """
INSERT INTO webhook_deliveries (id, event_id, endpoint_id, merchant_id, environment, callback_url, status, due_at,
                                fence, attempt_count, last_outcome)
SELECT uuidv7(), event.id, endpoint.id, event.merchant_id, event.environment,
       CASE endpoint.kind WHEN 'callback' THEN event.callback_url ELSE '' END, 'pending', clock_timestamp(), 0, 0, ''
FROM outbox_events event
JOIN webhook_endpoints endpoint
  ON endpoint.merchant_id = event.merchant_id AND endpoint.environment = event.environment
 AND endpoint.status = 'enabled'
 AND (endpoint.event_types = '{}' OR event.type = ANY(endpoint.event_types))
 AND (endpoint.kind = 'registered' OR event.callback_url <> '')
WHERE event.id = ANY(%s)
ON CONFLICT (event_id, endpoint_id) DO NOTHING
"""
_MARK_FANNED_OUT = "UPDATE outbox_events SET fanned_out_at = clock_timestamp() WHERE id = ANY(%s)"


def run(stop: threading.Event) -> None:
    """Works until `stop` is set. Survives outages of the database."""
    is_connected = True
    while not stop.is_set():
        claimed, pause_seconds = 0, POLL_SECONDS
        try:
            claimed = fan_out_batch()
            is_connected = True
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            if classify_database_error(error) is None:
                raise
            if is_connected:
                log.warning("fan_out.database_lost", reason=str(error), retry_seconds=RECONNECT_SECONDS)
            is_connected, pause_seconds = False, RECONNECT_SECONDS
        finally:
            connection.close()
        if claimed < BATCH:
            stop.wait(pause_seconds)


def fan_out_batch() -> int:
    """Fans out the oldest events. Returns their number."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM_EVENTS, [BATCH])
        claimed = cursor.fetchall()
        if not claimed:
            return 0
        ids = [event_id for event_id, *_rest in claimed]
        _create_missing_callback_endpoints(
            {(merchant, mode) for _id, merchant, mode, has_callback in claimed if has_callback}
        )
        cursor.execute(_INSERT_DELIVERIES, [ids])
        cursor.execute(_MARK_FANNED_OUT, [ids])
    return len(claimed)


def _create_missing_callback_endpoints(tenants: Iterable[tuple[uuid.UUID, str]]) -> None:
    for merchant_id, environment in sorted(tenants):  # sorted, so that two relays cannot deadlock
        get_or_create_callback_endpoint(merchant_id=merchant_id, environment=environment)


def get_or_create_callback_endpoint(*, merchant_id: uuid.UUID, environment: str) -> WebhookEndpoint:
    """Returns the endpoint that signs calls to `callback_url`. Runs in the caller's transaction."""
    wanted = {"merchant_id": merchant_id, "environment": environment, "kind": EndpointKind.CALLBACK}
    found = WebhookEndpoint.objects.filter(**wanted).first()
    if found is None:
        insert_unless_exists(WebhookEndpoint(**wanted, sealed_secret=seal(new_secret())))
        found = WebhookEndpoint.objects.get(**wanted)
    return found
