"""Builds the timeline of a payment, newest first."""

from backoffice.timeline import (  # noqa: F401  (each is a source)
    attempts,
    captures,
    channel_webhooks,
    deliveries,
    milestones,
    outbox,
    refunds,
    reviews,
    saga_history,
    staff,
)
from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import TimelineEntry, get_sources


def build_timeline(records: PaymentRecords) -> list[TimelineEntry]:
    entries = [entry for find_entries in get_sources() for entry in find_entries(records)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)
