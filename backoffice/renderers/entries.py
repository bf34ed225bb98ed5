"""Lines of a story as a page shows them."""

from collections.abc import Iterable
from dataclasses import dataclass

from backoffice.renderers.redaction import as_text
from backoffice.renderers.saga_words import milliseconds
from backoffice.timeline.registry import Entry


@dataclass(frozen=True, slots=True)
class ShownEntry:
    entry: Entry
    took: str
    detail: str


def shown_entries(entries: Iterable[Entry]) -> list[ShownEntry]:
    return [
        ShownEntry(
            entry,
            milliseconds(entry.duration_ms) if entry.duration_ms is not None else "",
            as_text(entry.detail) if entry.detail else "",
        )
        for entry in entries
    ]
