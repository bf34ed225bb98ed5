"""The rows of a payment, read once for its timeline and for the head of its page."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from events.models import OutboxEvent
from gateway.models import ChannelEvent, Payment, PaymentAttempt, Refund
from sagas.models import SagaInstance
from webhooks.models import WebhookDelivery

ROWS_PER_SOURCE = 200  # the newest: bounds the cost of the page


@dataclass(frozen=True, slots=True)
class PaymentRecords:
    """The payment with what belongs to it. Everything is ordered newest first, and holds at most `ROWS_PER_SOURCE`
    rows."""

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
        return _list_references(self.payment, self.refunds, self.attempts)


def load_payment_records(payment: Payment) -> PaymentRecords:
    """Each query uses one index. A join of events and deliveries might make the planner start at the wrong table."""
    refunds = list(Refund.objects.filter(payment=payment).order_by("-created_at")[:ROWS_PER_SOURCE])
    names = [payment.payment_no, *(refund.refund_no for refund in refunds)]
    sagas = SagaInstance.objects.filter(business_id__in=names).order_by("business_id", "-created_at")
    attempts = list(PaymentAttempt.objects.filter(payment=payment).order_by("-number")[:ROWS_PER_SOURCE])
    references = _list_references(payment, refunds, attempts)
    channel_events = ChannelEvent.objects.filter(reference__in=references).order_by("-received_at")
    events = OutboxEvent.objects.filter(
        ordering_key__in=[*references, payment.order_no], merchant_id=payment.merchant_id
    ).order_by("-id")
    by_id = {event.id: event for event in events[:ROWS_PER_SOURCE]}
    deliveries = list(
        WebhookDelivery.objects.filter(event_id__in=list(by_id)).order_by("-id")[:ROWS_PER_SOURCE]
    )
    for delivery in deliveries:
        delivery.event = by_id[delivery.event_id]
    return PaymentRecords(
        payment=payment,
        refunds=refunds,
        sagas=list(sagas[:ROWS_PER_SOURCE]),
        attempts=attempts,
        channel_events=list(channel_events[:ROWS_PER_SOURCE]),
        events=list(by_id.values()),
        deliveries=deliveries,
    )


def _list_references(
    payment: Payment, refunds: Sequence[Refund], attempts: Sequence[PaymentAttempt]
) -> list[str]:
    later = [attempt.reference for attempt in attempts if attempt.number > 1 and attempt.reference]
    names = [payment.payment_no, *(refund.refund_no for refund in refunds), *later]
    return [*names, payment.channel_trade_no] if payment.channel_trade_no else names
