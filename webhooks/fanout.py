"""Makes deliveries of events, in the transaction that marks the events: none is lost, none is made twice.

Order does not matter here, so any number of relays may do this at once: each takes other rows.
"""

import threading
import uuid
from collections.abc import Iterable

import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction
from psycopg_pool import PoolTimeout

from common.crypto import seal
from common.database_errors import trouble_of
from common.db import insert_unless_exists
from webhooks.models import EndpointKind, WebhookEndpoint
from webhooks.signing import new_secret

log = structlog.get_logger(__name__)

BATCH = 500
POLL_SECONDS = 0.2
RECONNECT_SECONDS = 2.0

TAKE = """
SELECT id, merchant_id, environment, callback_url <> '' FROM outbox_events
WHERE fanned_out_at IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
"""
# As `common.ids.uuid7` makes them, so that lists are in the order of time.
UUID7 = """encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid()) PLACING
    substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid"""
# `endpoint.status` is not locked: whoever is disabled at this moment may still get this one.
_DELIVER = f"""
INSERT INTO webhook_deliveries (id, event_id, endpoint_id, merchant_id, environment, callback_url, status, due_at,
                                fence, attempt_count, last_outcome)
SELECT {UUID7}, event.id, endpoint.id, event.merchant_id, event.environment,
       CASE endpoint.kind WHEN 'callback' THEN event.callback_url ELSE '' END, 'pending', clock_timestamp(), 0, 0, ''
FROM outbox_events event
JOIN webhook_endpoints endpoint
  ON endpoint.merchant_id = event.merchant_id AND endpoint.environment = event.environment
 AND endpoint.status = 'enabled'
 AND (endpoint.event_types = '{{}}' OR event.type = ANY(endpoint.event_types))
 AND (endpoint.kind = 'registered' OR event.callback_url <> '')
WHERE event.id = ANY(%s)
ON CONFLICT (event_id, endpoint_id) DO NOTHING
"""  # noqa: S608
_MARK = "UPDATE outbox_events SET fanned_out_at = clock_timestamp() WHERE id = ANY(%s)"


def run(stop: threading.Event) -> None:
    """Works until `stop` is set, through restarts of the database."""
    connected = True
    while not stop.is_set():
        taken, pause_seconds = 0, POLL_SECONDS
        try:
            taken = fan_out_batch()
            connected = True
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            if trouble_of(error) is None:
                raise
            if connected:
                log.warning("fan_out.database_lost", reason=str(error), retry_seconds=RECONNECT_SECONDS)
            connected, pause_seconds = False, RECONNECT_SECONDS
        finally:
            connection.close()
        if taken < BATCH:
            stop.wait(pause_seconds)


def fan_out_batch() -> int:
    """Answers how many events were taken, the oldest first."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(TAKE, [BATCH])
        taken = cursor.fetchall()
        if not taken:
            return 0
        ids = [event_id for event_id, *_rest in taken]
        _ensure_callback_endpoints({(merchant, mode) for _id, merchant, mode, called in taken if called})
        cursor.execute(_DELIVER, [ids])
        cursor.execute(_MARK, [ids])
    return len(taken)


def _ensure_callback_endpoints(tenants: Iterable[tuple[uuid.UUID, str]]) -> None:
    for merchant_id, environment in sorted(tenants):  # in one order, so that two relays never wait crosswise
        callback_endpoint(merchant_id=merchant_id, environment=environment)


def callback_endpoint(*, merchant_id: uuid.UUID, environment: str) -> WebhookEndpoint:
    """The one that signs for `callback_url`; made when it is first needed. Runs in the caller's transaction."""
    wanted = {"merchant_id": merchant_id, "environment": environment, "kind": EndpointKind.CALLBACK}
    found = WebhookEndpoint.objects.filter(**wanted).first()
    if found is None:
        insert_unless_exists(WebhookEndpoint(**wanted, sealed_secret=seal(new_secret())))
        found = WebhookEndpoint.objects.get(**wanted)
    return found
