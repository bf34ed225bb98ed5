"""Metrics of webhook deliveries."""

from collections.abc import Iterable

from prometheus_client import Counter, Histogram

DELIVERIES = Counter("webhook_deliveries_total", "Delivery attempts by outcome", ["outcome"])


DELIVERY_SECONDS = Histogram(
    "webhook_delivery_seconds",
    "Duration of a call to an endpoint",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)


DISABLED = Counter("webhook_endpoints_disabled_total", "Endpoints that were disabled", ["reason"])


def announce_disabling(reasons: Iterable[str]) -> None:
    for reason in reasons:
        DISABLED.labels(reason)
