"""The entries of a timeline and the registry of their sources.

A source is a function that makes entries of a payment's records, and finds further rows by index. `@register_source`
registers it when its module is imported; `payment_timeline.py` imports all of them.
"""

import datetime as dt
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from backoffice.timeline.records import PaymentRecords


class Tone(enum.StrEnum):
    NEUTRAL = "neutral"
    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class EntryFact:
    label: str | Promise
    value: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """`icon` is a name of the theme's icon font. `detail` is redacted before it is shown."""

    at: dt.datetime
    icon: str
    source: str | Promise
    title: str | Promise
    tone: Tone = Tone.NEUTRAL
    name: str = ""  # the technical name: of a step, of an event type
    facts: Sequence[EntryFact] = ()
    url: str = ""
    duration_ms: int | None = None
    detail: Mapping[str, Any] | None = None
    is_technical: bool = False  # hidden until staff ask for technical entries


Source = Callable[[PaymentRecords], Iterable[TimelineEntry]]
_sources: list[Source] = []


def register_source(find_entries: Source) -> Source:
    _sources.append(find_entries)
    return find_entries


def get_sources() -> Sequence[Source]:
    return tuple(_sources)
