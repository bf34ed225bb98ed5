"""Timeline entries as a page shows them: repeated ones folded, durations in words, details redacted."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

from backoffice.renderers.redaction import redacted_json
from backoffice.renderers.saga_labels import format_milliseconds
from backoffice.timeline.registry import TimelineEntry


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """`count` entries in a row that say the same; `first_at` is the time of the oldest."""

    entry: TimelineEntry
    duration: str
    detail: str
    count: int
    first_at: dt.datetime


def shown_entries(entries: Iterable[TimelineEntry]) -> list[ShownEntry]:
    """`entries` are newest first. Of repeated ones, the newest is shown."""
    shown: list[ShownEntry] = []
    for entry in entries:
        if shown and _says_the_same(shown[-1].entry, entry):
            last = shown[-1]
            shown[-1] = replace(last, count=last.count + 1, first_at=entry.at)
            continue
        duration = format_milliseconds(entry.duration_ms) if entry.duration_ms is not None else ""
        detail = redacted_json(entry.detail) if entry.detail else ""
        shown.append(ShownEntry(entry, duration, detail, 1, entry.at))
    return shown


def _says_the_same(one: TimelineEntry, other: TimelineEntry) -> bool:
    return (one.source, one.title, one.name, one.tone, one.url, tuple(one.facts)) == (
        other.source,
        other.title,
        other.name,
        other.tone,
        other.url,
        tuple(other.facts),
    )
