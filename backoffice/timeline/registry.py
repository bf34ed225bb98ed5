"""The entries of a timeline and the registry of their sources.

A source is a function that finds its entries by index. `@source` registers it when its module is imported;
`payment_timeline.py` imports all of them.
"""

import datetime as dt
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise

from events.models import OutboxEvent
from gateway.models import ChannelEvent, Payment, PaymentAttempt, Refund
from sagas.models import SagaInstance
from webhooks.models import WebhookDelivery

EACH = 200  # entries of one source, the newest: bounds the cost of the page


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


@dataclass(frozen=True, slots=True)
class Subject:
    """The payment with what belongs to it, read once for all sources and for the head of the page. Everything is
    ordered newest first, and holds at most `EACH` rows."""

    payment: Payment
    refunds: Sequence[Refund]
    sagas: Sequence[SagaInstance]
    attempts: Sequence[PaymentAttempt] = ()
    channel_events: Sequence[ChannelEvent] = ()
    events: Sequence[OutboxEvent] = ()
    deliveries: Sequence[WebhookDelivery] = ()

    @property
    def saga_ids(self) -> list[uuid.UUID]:
        return [saga.id for saga in self.sagas]

    @property
    def references(self) -> list[str]:
        """The numbers that channels, events and staff use for the payment and its refunds."""
        return list_references(self.payment, self.refunds, self.attempts)


def list_references(
    payment: Payment, refunds: Sequence[Refund], attempts: Sequence[PaymentAttempt]
) -> list[str]:
    later = [attempt.reference for attempt in attempts if attempt.number > 1 and attempt.reference]
    names = [payment.payment_no, *(refund.refund_no for refund in refunds), *later]
    return [*names, payment.channel_trade_no] if payment.channel_trade_no else names


Source = Callable[[Subject], Iterable[TimelineEntry]]
_sources: list[Source] = []


def source(function: Source) -> Source:
    _sources.append(function)
    return function


def sources() -> Sequence[Source]:
    return tuple(_sources)
