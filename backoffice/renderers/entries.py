"""Timeline entries as a page shows them: durations in words, details redacted."""

from collections.abc import Iterable
from dataclasses import dataclass

from backoffice.renderers.redaction import redacted_json
from backoffice.renderers.saga_labels import format_milliseconds
from backoffice.timeline.registry import Entry


@dataclass(frozen=True, slots=True)
class ShownEntry:
    entry: Entry
    duration: str
    detail: str


def shown_entries(entries: Iterable[Entry]) -> list[ShownEntry]:
    return [
        ShownEntry(
            entry,
            format_milliseconds(entry.duration_ms) if entry.duration_ms is not None else "",
            redacted_json(entry.detail) if entry.detail else "",
        )
        for entry in entries
    ]
