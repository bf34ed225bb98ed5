"""Counts the outcomes of recent attempts for each channel account, payment method and currency.

A periodic task counts them in `payment_attempts` and stores the counts in Redis; requests read them from memory, at
most `REFRESH_SECONDS` old. Without Redis, or while the task does not run, there are no counts, and rules by success
rate behave like rules by weight with much exploration.
"""

import json
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection

from common import redis
from gateway.models import AttemptStatus, RoutingRule, RoutingStrategy
from gateway.services.routing.draws import NO_OUTCOMES, OutcomeCounts

# An outcome counts half after so long.
HALF_LIFE_SECONDS = 600
# Attempts that were created before are not read: they would count less than 2 %.
WINDOW_SECONDS = 3600
# Between two runs of the periodic task (`payment_platform/schedule.py`).
COUNT_SECONDS = 10
# How long the counts in Redis, and those in the memory of a process, are used.
RETENTION_SECONDS = 60
REFRESH_SECONDS = 2.0
KEY = "payment-gateway:success-rates"

# Failure codes of attempts that failed because of the channel and not because of the customer, the card or our request:
# those of declines, and those of sagas whose channel did not answer in time. Other declines are not counted at all.
CHANNEL_FAILURE_CODES = (
    "acquirer_unavailable",
    "channel_error",
    "channel_limit",
    "deadline_passed",
    "issuer_not_available",
    "outcome_unknown",
    "payee_account_invalid",
    "payee_account_locked_or_closed",
    "payee_account_restricted",
    "payment_method_not_available",
    "payment_refused",
    "processing_error",
    "reenter_transaction",
    "retries_exhausted",
    "try_again_later",
)


@dataclass(frozen=True, slots=True)
class SuccessRateKey:
    """Outcomes are counted for each of these keys. An empty `account` is the platform's own; `payment_method`
    is that of the last attempt of the payment."""

    environment: str
    channel: str
    account: str
    payment_method: str
    currency: str


Counts = Mapping[SuccessRateKey, OutcomeCounts]

_COUNT = """
SELECT p.environment, a.channel, coalesce(a.channel_account_id::text, ''), p.payment_method, p.currency,
       coalesce(sum(outcome.weight) FILTER (WHERE outcome.succeeded), 0),
       coalesce(sum(outcome.weight) FILTER (WHERE NOT outcome.succeeded), 0)
FROM payment_attempts a
JOIN payments p ON p.id = a.payment_id
CROSS JOIN LATERAL (
    SELECT a.status <> %(declined)s AS succeeded,
           power(0.5::float8, extract(epoch FROM now() - coalesce(a.finished_at, a.created_at))::float8
                              / %(half_life)s) AS weight
) AS outcome
WHERE a.channel = ANY(%(channels)s) AND a.created_at > now() - %(window)s * interval '1 second' AND NOT a.sandbox
  AND (a.status = %(succeeded)s
       OR a.status = %(open)s AND p.status = 'authorized' AND p.channel_reference = a.reference
       OR a.status = %(declined)s AND a.failure_code = ANY(%(codes)s))
GROUP BY p.environment, a.channel, a.channel_account_id, p.payment_method, p.currency
"""


def store_success_rates() -> int:
    """Counts the recent outcomes and stores the counts in Redis. Returns for how many accounts, methods and currencies.

    Without an active rule by success rate nothing is counted.
    """
    rules = RoutingRule.objects.filter(is_active=True)
    if not rules.filter(strategy=RoutingStrategy.SUCCESS_RATE).exists():
        return 0
    counts = count_outcomes(sorted(set(rules.values_list("channel", flat=True))))
    text = json.dumps([[*astuple(key), *astuple(each)] for key, each in counts.items()])
    redis.attempt(lambda client: client.set(KEY, text, ex=RETENTION_SECONDS), otherwise=None)
    return len(counts)


def count_outcomes(channels: Sequence[str]) -> Counts:
    parameters: dict[str, Any] = {
        "channels": list(channels),
        "codes": list(CHANNEL_FAILURE_CODES),
        "half_life": HALF_LIFE_SECONDS,
        "window": WINDOW_SECONDS,
        "declined": AttemptStatus.DECLINED.value,
        "open": AttemptStatus.OPEN.value,
        "succeeded": AttemptStatus.SUCCEEDED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, parameters)
        return {SuccessRateKey(*row[:5]): OutcomeCounts(*row[5:]) for row in cursor.fetchall()}


def read_counts(key: SuccessRateKey) -> OutcomeCounts:
    return _memory.read().get(key, NO_OUTCOMES)


def forget_counts() -> None:
    """Makes this process read Redis again at the next request."""
    _memory.forget()


class _Memory:
    """The counts of Redis, read by one thread at a time; the others use what was read last."""

    def __init__(self) -> None:
        self._counts: Counts = {}
        self._next_read_at = 0.0
        self._reading = threading.Lock()

    def read(self) -> Counts:
        if time.monotonic() >= self._next_read_at and self._reading.acquire(blocking=False):
            try:
                self._counts = _load()
                self._next_read_at = time.monotonic() + REFRESH_SECONDS
            finally:
                self._reading.release()
        return self._counts

    def forget(self) -> None:
        self._next_read_at = 0.0


_memory = _Memory()


def _load() -> Counts:
    text: bytes | str | None = redis.attempt(lambda client: client.get(KEY), otherwise=None)
    return parse_counts(text) if text else {}


def parse_counts(text: bytes | str) -> Counts:
    """Returns no counts for text that `store_success_rates` cannot have written."""
    try:
        rows = json.loads(text)
        counts = {SuccessRateKey(*map(str, row[:5])): OutcomeCounts(*map(float, row[5:])) for row in rows}
    except (ValueError, TypeError, LookupError, RecursionError):
        return {}
    numbers = [number for each in counts.values() for number in astuple(each)]
    return counts if all(math.isfinite(number) and number >= 0 for number in numbers) else {}
