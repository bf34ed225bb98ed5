"""Metrics of the relay.

Rare counters are created at zero: a counter that appears with its first increment hides that one from every rate.
"""

from collections.abc import Iterable

from prometheus_client import Counter

PUBLISHED = Counter("outbox_published_total", "Events that every sink has accepted", ["type"])
REFUSED = Counter("outbox_sink_unavailable_total", "Batches that a sink could not accept", ["sink"])


def announce_sinks(names: Iterable[str]) -> None:
    for name in names:
        REFUSED.labels(name)
