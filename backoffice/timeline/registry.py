"""What a line of the story is, and who may tell one.

A source is a function that finds its lines by index and registers itself; importing its module is enough. Which modules
there are is listed in `story.py`.
"""

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise

from gateway.models import Payment, Refund
from sagas.models import SagaInstance

EACH = 200  # lines of one source: the newest, so that one noisy source costs a page nothing


class Tone(enum.StrEnum):
    NEUTRAL = "neutral"
    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    DANGER = "danger"


@dataclass(frozen=True, slots=True)
class Fact:
    label: str | Promise
    value: str
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """`icon` is a name of the theme's icon font. `detail` is redacted before it is shown."""

    at: dt.datetime
    icon: str
    source: str | Promise
    title: str | Promise
    tone: Tone = Tone.NEUTRAL
    name: str = ""  # what machines call it: a step, a type of event
    facts: Sequence[Fact] = ()
    url: str = ""
    duration_ms: int | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """The payment with what hangs on it, read once for all sources."""

    payment: Payment
    refunds: Sequence[Refund]
    sagas: Sequence[SagaInstance]
    saga_ids: Sequence[uuid.UUID] = field(default_factory=tuple)
    attempts: Sequence[str] = ()  # what channels know the second attempt by, and each one after it

    @property
    def references(self) -> list[str]:
        """The names under which channels, events and staff speak of it."""
        names = [self.payment.payment_no, *(refund.refund_no for refund in self.refunds), *self.attempts]
        return [*names, self.payment.channel_trade_no] if self.payment.channel_trade_no else names

    @property
    def event_keys(self) -> list[str]:
        """Events are ordered by the payment or the order they are about."""
        return [*self.references, self.payment.order_no]


Source = Callable[[Subject], Iterable[Entry]]
_sources: list[Source] = []


def source(tell: Source) -> Source:
    _sources.append(tell)
    return tell


def sources() -> Sequence[Source]:
    return tuple(_sources)
