"""Metrics of refused requests."""

from prometheus_client import Counter

REFUSED = Counter(
    "api_requests_refused_total", "Requests refused by authentication or rate limit", ["reason"]
)
