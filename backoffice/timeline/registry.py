"""The entries of a timeline and the registry of their sources.

A source is a function that finds its entries by index. `@source` registers it when its module is imported;
`payment_timeline.py` imports all of them.
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

EACH = 200  # entries of one source, the newest: bounds the cost of the page


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
    name: str = ""  # the technical name: of a step, of an event type
    facts: Sequence[Fact] = ()
    url: str = ""
    duration_ms: int | None = None
    detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """The payment with its refunds and sagas, read once for all sources."""

    payment: Payment
    refunds: Sequence[Refund]
    sagas: Sequence[SagaInstance]
    saga_ids: Sequence[uuid.UUID] = field(default_factory=tuple)
    attempts: Sequence[str] = ()  # references of the second and later attempts

    @property
    def references(self) -> list[str]:
        """The numbers that channels, events and staff use for the payment and its refunds."""
        names = [self.payment.payment_no, *(refund.refund_no for refund in self.refunds), *self.attempts]
        return [*names, self.payment.channel_trade_no] if self.payment.channel_trade_no else names

    @property
    def event_keys(self) -> list[str]:
        """The ordering keys of its events: payment, refund or order."""
        return [*self.references, self.payment.order_no]


Source = Callable[[Subject], Iterable[Entry]]
_sources: list[Source] = []


def source(function: Source) -> Source:
    _sources.append(function)
    return function


def sources() -> Sequence[Source]:
    return tuple(_sources)
