"""Spans of channel updates. A channel update joins the trace of its payment or refund, whether a webhook, the poller
or a sync brought it."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import structlog
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from common import tracing
from gateway.models import Payment, Refund
from sagas import selectors


@contextmanager
def payment_update_span(payment: Payment, source: str) -> Iterator[Span]:
    with _update_span(payment.id, "payment", {"payment_no": payment.payment_no}, source) as span:
        yield span


@contextmanager
def refund_update_span(refund: Refund, source: str) -> Iterator[Span]:
    numbers = {"refund_no": refund.refund_no, "payment_no": refund.payment.payment_no}
    with _update_span(refund.id, "refund", numbers, source) as span:
        yield span


@contextmanager
def _update_span(saga_id: UUID, subject: str, numbers: dict[str, str], source: str) -> Iterator[Span]:
    """`saga_id`: a payment or refund has the id of the saga that created it, and the saga's row keeps the trace."""
    if not tracing.is_enabled():
        with structlog.contextvars.bound_contextvars(**numbers):
            yield INVALID_SPAN
        return
    stored = selectors.get_saga_trace_context(saga_id)
    attributes = {**numbers, "saga_id": str(saga_id), "channel.name": source}
    with (
        structlog.contextvars.bound_contextvars(**numbers),
        tracing.continue_trace(stored, f"{subject} channel update", attributes, SpanKind.CONSUMER) as span,
    ):
        yield span
