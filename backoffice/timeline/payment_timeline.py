"""A payment's story, newest first."""

from backoffice.timeline import (  # noqa: F401  (each is a source)
    attempts,
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
    given_back = list(Refund.objects.filter(payment=payment).order_by("-created_at")[:EACH])
    names = [payment.payment_no, *(refund.refund_no for refund in given_back)]
    sagas = list(
        SagaInstance.objects.filter(business_id__in=names).order_by("business_id", "-created_at")[:EACH]
    )
    further: list[str] = []
    if payment.reference != payment.payment_no:
        further = list(payment.attempts.exclude(number=1).values_list("reference", flat=True))
    return Subject(payment, given_back, sagas, tuple(saga.id for saga in sagas), further)


def build_timeline(subject: Subject) -> list[Entry]:
    lines = [entry for tell in sources() for entry in tell(subject)]
    return sorted(lines, key=lambda entry: entry.at, reverse=True)
