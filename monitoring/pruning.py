"""History goes once nobody needs it, in batches so small that nobody waits for them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from common.clock import database_now
from events.models import OutboxEvent
from gateway.models import OPEN_PAYMENT_STATUSES, OPEN_REFUND_STATUSES, ChannelEvent, Payment, Refund
from gateway.services.channel_updates import Effect
from idempotency import retention
from merchants.services import prune_nonces
from monitoring.models import ConsistencyRun
from sagas.models import SagaInstance, SagaStatus
from webhooks.models import WebhookDelivery

M = TypeVar("M", bound=Model)
log = structlog.get_logger(__name__)

SAGA_RETENTION = timedelta(days=30)
# `GET /events` and sending again reach as far back as this.
EVENT_RETENTION = timedelta(days=30)
# A channel sends an event again for days (Stripe: three, and 30 by hand): so long its id must be known.
CHANNEL_EVENT_RETENTION = timedelta(days=90)
CONSISTENCY_RETENTION = timedelta(days=90)
# Webhooks of channels that are about no payment of ours, such as those of another system on the same account.
UNKNOWN_EVENT_RETENTION = timedelta(days=7)
MOST_UNKNOWN_EVENTS = 10_000
FINISHED = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)
BATCH = 500
# What one run may do: enough to keep up with a busy day, and over within seconds.
MAX_BATCHES = 40
MAX_LOOKS = 2000


@dataclass(frozen=True, slots=True)
class Pruned:
    idempotency_keys: int
    request_nonces: int
    sagas: int
    webhook_deliveries: int
    outbox_events: int
    channel_events: int
    consistency_runs: int
    unknown_channel_events: int


def prune_history() -> Pruned:
    pruned = Pruned(
        idempotency_keys=_in_batches(lambda: retention.prune(batch=BATCH)),
        request_nonces=_in_batches(lambda: prune_nonces(batch=BATCH)),
        sagas=_in_batches(_prune_sagas),
        webhook_deliveries=_prune_deliveries(),
        outbox_events=_prune_events(),
        channel_events=_in_batches(_prune_channel_events),
        consistency_runs=_in_batches(_prune_consistency_runs),
        unknown_channel_events=_in_batches(_prune_unknown_channel_events),
    )
    log.info("history.pruned", **{name: getattr(pruned, name) for name in Pruned.__slots__})
    return pruned


def _in_batches(prune: Callable[[], int]) -> int:
    """`prune` answers how many rows went; fewer than a batch means that it is done."""
    total = 0
    for _batch in range(MAX_BATCHES):
        gone = prune()
        total += gone
        if gone < BATCH:
            break
    return total


def _prune_sagas() -> int:
    """Never one that waits for a person, nor one whose payment or refund is open: it is how they came to be."""
    open_payment = Payment.objects.filter(
        payment_no=OuterRef("business_id"), status__in=OPEN_PAYMENT_STATUSES
    )
    open_refund = Refund.objects.filter(refund_no=OuterRef("business_id"), status__in=OPEN_REFUND_STATUSES)
    # `created_at` is what the index is ordered by; `updated_at` says how long the saga has been over.
    old = SagaInstance.objects.filter(
        ~Exists(open_payment),
        ~Exists(open_refund),
        status__in=FINISHED,
        needs_attention=False,
        created_at__lt=Now() - SAGA_RETENTION,
        updated_at__lt=Now() - SAGA_RETENTION,
    ).order_by("created_at")
    return _delete_batch(old)


def _prune_deliveries() -> int:
    """With their attempts. Pending ones too: nobody but a disabled endpoint lets one wait for so long."""
    over = Q(created_at__lt=Now() - EVENT_RETENTION, updated_at__lt=Now() - EVENT_RETENTION)
    return _past_those_that_stay(WebhookDelivery.objects.all(), "event_id", "event__created_at", over)


def _prune_events() -> int:
    """Never one that has not left both ways, nor one with a delivery."""
    left = Q(published_at__lt=Now() - EVENT_RETENTION, fanned_out_at__lt=Now() - EVENT_RETENTION)
    untold = ~Exists(WebhookDelivery.objects.filter(event_id=OuterRef("pk")))
    return _past_those_that_stay(OutboxEvent.objects.all(), "id", "created_at", left & Q(untold))


def _past_those_that_stay(rows: QuerySet[M], event: str, happened: str, over: Q) -> int:
    """Looks at `rows` in the order of their events, as far as those are old. What was sent again lately stays, and
    holds up nothing behind it."""
    young = database_now() - EVENT_RETENTION
    gone = after = 0
    for _look in range(MAX_LOOKS):
        batch = rows.filter(**{f"{event}__gte": after}).order_by(event)
        looked_at = list(batch.values_list("pk", event, happened)[:BATCH])
        if not looked_at or looked_at[0][2] >= young or gone >= BATCH * MAX_BATCHES:
            break
        gone += _delete_batch(rows.filter(over, pk__in=[pk for pk, *_rest in looked_at]).order_by(event))
        last = looked_at[-1][1]
        after = last if last > after else last + 1
    return gone


def _prune_channel_events() -> int:
    """An event that comes again later changes nothing that a second look at the channel would not."""
    return _delete_batch(
        ChannelEvent.objects.filter(received_at__lt=Now() - CHANNEL_EVENT_RETENTION).order_by("received_at")
    )


def _prune_consistency_runs() -> int:
    return _delete_batch(
        ConsistencyRun.objects.filter(started_at__lt=Now() - CONSISTENCY_RETENTION).order_by("id")
    )


def _prune_unknown_channel_events() -> int:
    """By age, and the oldest beyond a number."""
    unknown = ChannelEvent.objects.filter(effect=Effect.UNKNOWN_REFERENCE)
    newest = unknown.order_by("-received_at").values_list("received_at", flat=True)
    first_too_many = newest[MOST_UNKNOWN_EVENTS : MOST_UNKNOWN_EVENTS + 1].first()
    too_old = Q(received_at__lt=Now() - UNKNOWN_EVENT_RETENTION)
    if first_too_many is not None:
        too_old |= Q(received_at__lte=first_too_many)
    return _delete_batch(unknown.filter(too_old).order_by("received_at"))


def _delete_batch(old: QuerySet[M]) -> int:
    """Rows that somebody else is writing wait for the next run. Answers how many went, without what hung on them."""
    with transaction.atomic(durable=True):
        doomed = list(
            old.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:BATCH]
        )
        old.model._base_manager.filter(pk__in=doomed).delete()
    return len(doomed)
