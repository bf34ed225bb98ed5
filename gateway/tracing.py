"""A channel's news joins the trace of what it is about, whoever brought it: a webhook, the janitor, or a merchant."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import structlog
from opentelemetry.trace import Span, SpanKind

from common import tracing
from gateway.models import Payment, Refund
from sagas import selectors

E = TypeVar("E", bound=str)


class News:
    def __init__(self, span: Span) -> None:
        self._span = span

    def came_to(self, effect: E) -> E:
        self._span.set_attribute("outcome", effect)
        return effect


@contextmanager
def news_of_payment(payment: Payment, teller: str) -> Iterator[News]:
    with _news(payment.id, "payment", {"payment_no": payment.payment_no}, teller) as news:
        yield news


@contextmanager
def news_of_refund(refund: Refund, teller: str) -> Iterator[News]:
    numbers = {"refund_no": refund.refund_no, "payment_no": refund.payment.payment_no}
    with _news(refund.id, "refund", numbers, teller) as news:
        yield news


@contextmanager
def _news(saga_id: UUID, subject: str, numbers: dict[str, str], teller: str) -> Iterator[News]:
    """What a saga creates has its id, so that its trace is found by that."""
    stored = selectors.trace_context_of(saga_id) if tracing.is_on() else {}
    attributes = {**numbers, "saga_id": str(saga_id), "channel.name": teller}
    with (
        structlog.contextvars.bound_contextvars(**numbers),
        tracing.following(stored, f"{subject} news", attributes, SpanKind.CONSUMER) as span,
    ):
        yield News(span)
