"""Builds the timeline of a payment, newest first."""

from backoffice.timeline import (  # noqa: F401  (each is a source)
    attempts,
    captures,
    channel_webhooks,
    deliveries,
    milestones,
    outbox,
    refunds,
    reviews,
    saga_history,
    staff,
)
from backoffice.timeline.registry import EACH, Subject, TimelineEntry, list_references, sources
from events.models import OutboxEvent
from gateway.models import ChannelEvent, Payment, PaymentAttempt, Refund
from sagas.models import SagaInstance
from webhooks.models import WebhookDelivery


def load_subject(payment: Payment) -> Subject:
    """Each query uses one index. A join of events and deliveries might make the planner start at the wrong table."""
    found_refunds = list(Refund.objects.filter(payment=payment).order_by("-created_at")[:EACH])
    names = [payment.payment_no, *(refund.refund_no for refund in found_refunds)]
    sagas = list(
        SagaInstance.objects.filter(business_id__in=names).order_by("business_id", "-created_at")[:EACH]
    )
    found_attempts = list(PaymentAttempt.objects.filter(payment=payment).order_by("-number")[:EACH])
    references = list_references(payment, found_refunds, found_attempts)
    channel_events = ChannelEvent.objects.filter(reference__in=references).order_by("-received_at")[:EACH]
    events = list(
        OutboxEvent.objects.filter(
            ordering_key__in=[*references, payment.order_no], merchant_id=payment.merchant_id
        ).order_by("-id")[:EACH]
    )
    by_id = {event.id: event for event in events}
    found_deliveries = list(WebhookDelivery.objects.filter(event_id__in=list(by_id)).order_by("-id")[:EACH])
    for delivery in found_deliveries:
        delivery.event = by_id[delivery.event_id]
    return Subject(
        payment, found_refunds, sagas, found_attempts, list(channel_events), events, found_deliveries
    )


def build_timeline(subject: Subject) -> list[TimelineEntry]:
    entries = [entry for find_entries in sources() for entry in find_entries(subject)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)
