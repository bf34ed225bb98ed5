"""Sends the bank's webhooks: at least once each, in any order, with growing pauses between attempts.

One statement claims an attempt and another records it; no transaction is open during the call. When the sender dies,
the attempt falls due again.
"""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import connections

from channels.simulator import bank, webhooks
from channels.simulator.router import ALIAS
from common.task_hints import send_hint

log = structlog.get_logger(__name__)

BATCH = 50
BATCH_SECONDS = 10.0  # so that a slow receiver does not hold the worker
HTTP_TIMEOUT_SECONDS = 5.0
CLAIM_SECONDS = 30
MAX_ATTEMPTS = 20  # about eight hours; after that only polling finds out
LONGEST_PAUSE_SECONDS = 3600

_CLAIM = """
    UPDATE simulator_notifications
    SET attempts = attempts + 1, due_at = statement_timestamp() + %s * interval '1 s'
    WHERE event_id = (
        SELECT event_id FROM simulator_notifications WHERE due_at <= statement_timestamp()
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING event_id, attempts, payload
"""
# `attempts` is the fencing token: a later claim raises it, and then this write changes nothing.
_DELIVERED = """
    UPDATE simulator_notifications
    SET deliveries_left = deliveries_left - 1, delivered_at = statement_timestamp(), last_error = '',
        due_at = CASE WHEN deliveries_left > 1 THEN statement_timestamp() END
    WHERE event_id = %s AND attempts = %s
"""
_FAILED = """
    UPDATE simulator_notifications
    SET last_error = %s, due_at = CASE WHEN attempts < %s THEN statement_timestamp() + %s * interval '1 s' END
    WHERE event_id = %s AND attempts = %s
"""


@dataclass(frozen=True, slots=True)
class NotificationAttempt:
    event_id: str
    number: int
    payload: dict[str, Any]


def wake_worker() -> None:
    """Sends a wake-up hint; without it the periodic task finds the work."""
    send_hint("simulator.deliver_notifications")


def deliver_due_notifications() -> int:
    """Applies what has fallen due at the bank, then sends due webhooks. Returns the number of attempts."""
    bank.settle_due_payments()
    stop_at = time.monotonic() + BATCH_SECONDS
    attempts = 0
    while attempts < BATCH and time.monotonic() < stop_at and (attempt := _claim()):
        _send(attempt)
        attempts += 1
    return attempts


def _claim() -> NotificationAttempt | None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_CLAIM, [CLAIM_SECONDS])
        row = cursor.fetchone()
    if row is None:
        return None
    event_id, number, payload = row
    return NotificationAttempt(event_id, number, json.loads(payload))


def _send(attempt: NotificationAttempt) -> None:
    error = _post(json.dumps(attempt.payload, ensure_ascii=False).encode())
    with connections[ALIAS].cursor() as cursor:
        if error is None:
            cursor.execute(_DELIVERED, [attempt.event_id, attempt.number])
        else:
            pause_seconds = min(2 ** (attempt.number - 1), LONGEST_PAUSE_SECONDS)
            cursor.execute(_FAILED, [error, MAX_ATTEMPTS, pause_seconds, attempt.event_id, attempt.number])
            log.info(
                "simulator.webhook_failed", event_id=attempt.event_id, attempt=attempt.number, error=error
            )


def _post(body: bytes) -> str | None:
    """Posts a webhook, without redirects and without a proxy. Returns the error, or None."""
    url = urlsplit(settings.SIMULATOR_WEBHOOK_URL)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.netloc, timeout=HTTP_TIMEOUT_SECONDS)
    headers = {"Content-Type": "application/json", **webhooks.sign(body, timestamp=int(time.time()))}
    try:
        connection.request("POST", url.path or "/", body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"[:500]
    finally:
        connection.close()
    return None if 200 <= status < 300 else f"status {status}"
