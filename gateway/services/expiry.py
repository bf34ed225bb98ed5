"""Payments that nobody paid in time end through payment.cancel: the channel decides whether it was in time.

Only a payment that the customer has not acted on expires. What they have submitted (`processing`) ends as the channel
says. Where the channel refuses to end a payment, the waits double, and after the last one the payment needs review.
"""

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from common import crash
from common.ids import uuid7
from gateway import transitions
from gateway.errors import OperationInProgress
from gateway.models import MAX_EXPIRY_ATTEMPTS, Payment, PaymentStatus, ReviewCode
from gateway.services.payments import start_cancel
from sagas import hints
from sagas.models import ACTIVE, SagaInstance

BATCH = 100


def expire_due_payments() -> int:
    """Starts a cancel for each due payment, a batch at a time, and answers how many."""
    cancelling = SagaInstance.objects.filter(
        status__in=ACTIVE, definition="payment.cancel", business_id=OuterRef("payment_no")
    )
    creating = SagaInstance.objects.filter(id=OuterRef("id"), status__in=ACTIVE)
    started = []
    with transaction.atomic(durable=True):
        due = (
            Payment.objects.filter(
                Q(next_expiry_at=None) | Q(next_expiry_at__lte=Now()),
                ~Exists(cancelling),
                ~Exists(creating),
                expires_at__lte=Now(),
                status=PaymentStatus.PENDING,
                expiry_attempts__lt=MAX_EXPIRY_ATTEMPTS,
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
    transitions.expiry_begun(payment=payment)
    if payment.expiry_attempts == MAX_EXPIRY_ATTEMPTS - 1:
        transitions.open_review(
            payment=payment,
            code=ReviewCode.CANCEL_REFUSED,
            text=f"the channel refused {payment.expiry_attempts} times to end the expired payment",
        )
        return False
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
    hints.send(payment.environment)
    return True
