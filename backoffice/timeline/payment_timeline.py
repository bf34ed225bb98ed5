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
from backoffice.timeline.registry import EACH, Entry, Subject, sources
from gateway.models import Payment, Refund
from sagas.models import SagaInstance


def load_subject(payment: Payment) -> Subject:
    found_refunds = list(Refund.objects.filter(payment=payment).order_by("-created_at")[:EACH])
    names = [payment.payment_no, *(refund.refund_no for refund in found_refunds)]
    sagas = list(
        SagaInstance.objects.filter(business_id__in=names).order_by("business_id", "-created_at")[:EACH]
    )
    later_attempts: list[str] = []
    if payment.reference != payment.payment_no:
        later_attempts = list(payment.attempts.exclude(number=1).values_list("reference", flat=True))
    return Subject(payment, found_refunds, sagas, tuple(saga.id for saga in sagas), later_attempts)


def build_timeline(subject: Subject) -> list[Entry]:
    entries = [entry for find_entries in sources() for entry in find_entries(subject)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)
