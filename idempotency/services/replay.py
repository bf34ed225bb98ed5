"""Replays the stored answer of a key, when the repeated request is the same."""

from collections.abc import Mapping, Sequence

import structlog
from django.http import HttpRequest

from common.api.envelope import Answer
from idempotency import cache, metrics
from idempotency.cache import StoredAnswer
from idempotency.errors import IdempotencyKeyReused
from idempotency.request import KeyedRequest, is_usable_key

log = structlog.get_logger(__name__)


def name_stored_answer(request: HttpRequest, *, tenant: str, route: str) -> str | None:
    """The name in Redis of the answer for `find_replay`. None without a usable key."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None or not is_usable_key(key):
        return None
    return cache.get_redis_name(KeyedRequest(tenant, request.method or "", route, key, fields={}))


def find_replay(request: KeyedRequest, raw: bytes | None) -> Answer | None:
    """The stored answer of an equal request, for a caller that looks before it validates the body: an equal body was
    valid. `raw` is the value of `name_stored_answer`. None when `claim_key` has to decide."""
    stored = cache.read_answer(request, raw)
    if stored is None:
        return None
    differing = _find_differences(request, stored.fields)
    if not request.lenient_fields.issuperset(differing):
        return None
    metrics.REQUESTS.labels(request.route).inc()
    return _build_replay(request, stored, differing, source="redis")


def replay_answer(request: KeyedRequest, stored: StoredAnswer, *, source: str) -> Answer:
    """Raises `IdempotencyKeyReused`. `source`: redis or postgres, where the answer was found."""
    differing = require_same_request(request, stored.fields)
    return _build_replay(request, stored, differing, source=source)


def _build_replay(
    request: KeyedRequest, stored: StoredAnswer, differing: Sequence[str], *, source: str
) -> Answer:
    headers = {"Idempotent-Replayed": "true", **build_mismatch_headers(request, differing)}
    metrics.CACHE_HITS.labels(request.route, source).inc()
    log.info("idempotency.replayed", idempotency_key=request.key, source=source)
    return Answer(status=stored.status, body=stored.body, headers=headers)


def require_same_request(request: KeyedRequest, fields: Mapping[str, str]) -> list[str]:
    """Raises `IdempotencyKeyReused` naming the fields that differ; returns those that are allowed to."""
    differing = _find_differences(request, fields)
    if not request.lenient_fields.issuperset(differing):
        metrics.CONFLICTS.labels(request.route, "key_reused").inc()
        raise IdempotencyKeyReused({"idempotency_key": request.key, "fields": differing})
    return differing


def build_mismatch_headers(request: KeyedRequest, differing: Sequence[str]) -> dict[str, str]:
    """Names the lenient fields that differ from those of the first request, and logs them."""
    if not differing:
        return {}
    metrics.CONFLICTS.labels(request.route, "payload_mismatch").inc()
    log.warning("idempotency.payload_mismatch", idempotency_key=request.key, fields=differing)
    return {"Idempotency-Payload-Mismatch": ", ".join(differing)}


def _find_differences(request: KeyedRequest, fields: Mapping[str, str]) -> list[str]:
    """The names of the fields that differ, in the order of the alphabet."""
    names = fields.keys() | request.fields.keys()
    return sorted(name for name in names if fields.get(name) != request.fields.get(name))
