"""Payments that nobody paid in time end through payment.cancel: the channel decides whether it was in time."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from common import crash
from common.ids import uuid7
from gateway.errors import OperationInProgress
from gateway.models import Payment, PaymentStatus
from gateway.services.payments import start_cancel
from sagas import hints
from sagas.models import ACTIVE, SagaInstance

BATCH = 100
# After a cancel that the channel refused, the next one waits this long.
PAUSE = timedelta(minutes=10)


def expire_due_payments() -> int:
    """Starts a cancel for each due payment, a batch at a time, and answers how many."""
    cancelling = SagaInstance.objects.filter(
        Q(status__in=ACTIVE) | Q(created_at__gt=Now() - PAUSE),
        definition="payment.cancel",
        business_id=OuterRef("payment_no"),
    )
    creating = SagaInstance.objects.filter(id=OuterRef("id"), status__in=ACTIVE)
    started = []
    with transaction.atomic(durable=True):
        due = (
            Payment.objects.filter(
                ~Exists(cancelling),
                ~Exists(creating),
                expires_at__lte=Now(),
                status__in=(PaymentStatus.PENDING, PaymentStatus.PROCESSING),
            )
            .order_by("expires_at")
            .select_for_update(skip_locked=True, of=("self",))[:BATCH]
        )
        for payment in due:
            if _expire(payment):
                started.append(payment.payment_no)
                crash.reach("payment.expiry.before_commit", payment.payment_no)
    for payment_no in started:
        crash.reach("payment.expiry.after_commit", payment_no)
    return len(started)


def _expire(payment: Payment) -> bool:
    saga_id = uuid7()
    try:
        start_cancel(
            payment_id=payment.id,
            saga_id=saga_id,
            final_status=PaymentStatus.EXPIRED,
            reason="not paid in time",
            leased=False,
        )
    except OperationInProgress:
        return False
    hints.send(saga_id)
    return True
