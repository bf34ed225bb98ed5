"""Metrics of idempotency. Their names are part of the public contract and never change."""

from prometheus_client import Counter

REQUESTS = Counter("idempotency_requests_total", "Writes that carried an Idempotency-Key", ["route"])
CACHE_HITS = Counter("idempotency_cache_hits_total", "Answers replayed", ["route", "source"])
CONFLICTS = Counter("idempotency_conflicts_total", "Keys met in flight or reused", ["route", "kind"])


def create_series(route: str) -> None:
    """Creates the series of a route with the value 0, because `rate()` needs a first value."""
    REQUESTS.labels(route)
    for source in ("redis", "postgres"):
        CACHE_HITS.labels(route, source)
    for kind in ("in_flight", "payload_mismatch", "key_reused"):
        CONFLICTS.labels(route, kind)
