"""The retention of history, and the rows that stay longer. docs/DEPLOYMENT.md shows these times to operators."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from gateway.models import OPEN_PAYMENT_STATUSES, OPEN_REFUND_STATUSES, Payment, Refund
from sagas.models import SagaInstance, SagaStatus

SAGA_RETENTION = timedelta(days=30)
# `GET /events` and resending reach as far back as this.
EVENT_RETENTION = timedelta(days=30)
# A channel resends an event for days (Stripe: three, and 30 by hand), so its id must stay known.
CHANNEL_EVENT_RETENTION = timedelta(days=90)
CONSISTENCY_RETENTION = timedelta(days=90)
# Channel events about no payment of ours, such as those of another system on the same account.
UNKNOWN_EVENT_RETENTION = timedelta(days=7)
MAX_UNKNOWN_EVENTS = 10_000

FINISHED_SAGA_STATUSES = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)


def is_deletable_saga() -> Q:
    """Sagas that finished before the retention, unless they need review or their payment or refund is open."""
    open_payment = Payment.objects.filter(
        payment_no=OuterRef("business_id"), status__in=OPEN_PAYMENT_STATUSES
    )
    open_refund = Refund.objects.filter(refund_no=OuterRef("business_id"), status__in=OPEN_REFUND_STATUSES)
    return Q(
        ~Exists(open_payment),
        ~Exists(open_refund),
        status__in=FINISHED_SAGA_STATUSES,
        needs_attention=False,
        updated_at__lt=Now() - SAGA_RETENTION,  # when the saga finished
    )


def is_write_over() -> Q:
    """Of idempotency keys: writes without a saga that is at work or needs review. A saga has the id of what it
    creates, and another write has no saga."""
    sagas = SagaInstance.objects.filter(id=OuterRef("resource_id"))
    return Q(~Exists(sagas.exclude(status__in=FINISHED_SAGA_STATUSES, needs_attention=False)))


def is_deletable_delivery() -> Q:
    """Deliveries older than the retention. Pending ones too: only a disabled endpoint keeps one for so long."""
    return Q(created_at__lt=Now() - EVENT_RETENTION, updated_at__lt=Now() - EVENT_RETENTION)
