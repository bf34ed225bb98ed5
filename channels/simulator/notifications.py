"""Sends the bank's webhooks: at least once each, in no promised order, with growing waits between attempts.

An attempt is claimed in one statement and recorded in another; no transaction is open while the platform is
called. A sender that dies leaves a claim that falls due again.
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
BATCH_SECONDS = 10.0  # a slow receiver must not keep a worker from the platform's own tasks
HTTP_TIMEOUT_SECONDS = 5.0
CLAIM_SECONDS = 30
MAX_ATTEMPTS = 20  # some eight hours; from then on the platform has to ask
LONGEST_WAIT_SECONDS = 3600

_CLAIM = """
    UPDATE simulator_notifications
    SET attempts = attempts + 1, due_at = statement_timestamp() + %s * interval '1 s'
    WHERE event_id = (
        SELECT event_id FROM simulator_notifications WHERE due_at <= statement_timestamp()
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING event_id, attempts, payload
"""
# `attempts` fences: whoever claimed the row since then is the one to write.
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
class Attempt:
    event_id: str
    number: int
    payload: dict[str, Any]


def hint() -> None:
    """Wakes a worker so that nobody waits for the next beat. The beat finds everything without it."""
    from channels.simulator.tasks import deliver_notifications

    send_hint(deliver_notifications)


def work_off() -> int:
    """Settles what has fallen due, then sends what is due. Answers how many attempts were made."""
    bank.settle_due()
    give_up_at = time.monotonic() + BATCH_SECONDS
    attempts = 0
    while attempts < BATCH and time.monotonic() < give_up_at and (attempt := _claim()):
        _send(attempt)
        attempts += 1
    return attempts


def _claim() -> Attempt | None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(_CLAIM, [CLAIM_SECONDS])
        row = cursor.fetchone()
    if row is None:
        return None
    event_id, number, payload = row
    return Attempt(event_id, number, json.loads(payload))


def _send(attempt: Attempt) -> None:
    error = _post(json.dumps(attempt.payload, ensure_ascii=False).encode())
    with connections[ALIAS].cursor() as cursor:
        if error is None:
            cursor.execute(_DELIVERED, [attempt.event_id, attempt.number])
        else:
            wait = min(2 ** (attempt.number - 1), LONGEST_WAIT_SECONDS)
            cursor.execute(_FAILED, [error, MAX_ATTEMPTS, wait, attempt.event_id, attempt.number])
            log.info(
                "simulator.webhook_failed", event_id=attempt.event_id, attempt=attempt.number, error=error
            )


def _post(body: bytes) -> str | None:
    """None when the platform took it, otherwise what went wrong. Follows no redirects and uses no proxy."""
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
