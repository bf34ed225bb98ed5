"""Deletes old history in small batches, so that no lock is held for long."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from common.clock import database_now
from events.models import OutboxEvent
from gateway.models import (
    OPEN_PAYMENT_STATUSES,
    OPEN_REFUND_STATUSES,
    ChannelEvent,
    Payment,
    Refund,
    UpdateEffect,
)
from idempotency import retention
from merchants.services import prune_nonces
from monitoring.models import ConsistencyRun
from monitoring.retention import (
    CHANNEL_EVENT_RETENTION,
    CONSISTENCY_RETENTION,
    EVENT_RETENTION,
    MAX_UNKNOWN_EVENTS,
    SAGA_RETENTION,
    UNKNOWN_EVENT_RETENTION,
)
from sagas.models import SagaInstance, SagaStatus
from webhooks.models import WebhookDelivery

M = TypeVar("M", bound=Model)
log = structlog.get_logger(__name__)

FINISHED = (SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED)
BATCH = 500
# Limits of one run: enough to keep up with a busy day, and over within seconds.
MAX_BATCHES = 40
MAX_SCANNED_BATCHES = 2000


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
        idempotency_keys=_in_batches(lambda: retention.prune_keys(batch=BATCH)),
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
    """Calls `prune`, which returns the number of deleted rows, until it deletes less than a batch."""
    total = 0
    for _batch in range(MAX_BATCHES):
        deleted = prune()
        total += deleted
        if deleted < BATCH:
            break
    return total


def _prune_sagas() -> int:
    """Deletes finished sagas, except those that need review and those whose payment or refund is still open."""
    open_payment = Payment.objects.filter(
        payment_no=OuterRef("business_id"), status__in=OPEN_PAYMENT_STATUSES
    )
    open_refund = Refund.objects.filter(refund_no=OuterRef("business_id"), status__in=OPEN_REFUND_STATUSES)
    # The index is ordered by `created_at`; `updated_at` is when the saga finished.
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
    """Deletes deliveries with their attempts. Pending ones too: only a disabled endpoint keeps one for so long."""
    expired = Q(created_at__lt=Now() - EVENT_RETENTION, updated_at__lt=Now() - EVENT_RETENTION)
    return _prune_in_event_order(WebhookDelivery.objects.all(), "event_id", "event__created_at", expired)


def _prune_events() -> int:
    """Deletes events that were published and fanned out long ago and have no delivery left."""
    sent = Q(published_at__lt=Now() - EVENT_RETENTION, fanned_out_at__lt=Now() - EVENT_RETENTION)
    has_no_delivery = ~Exists(WebhookDelivery.objects.filter(event_id=OuterRef("pk")))
    return _prune_in_event_order(OutboxEvent.objects.all(), "id", "created_at", sent & Q(has_no_delivery))


def _prune_in_event_order(rows: QuerySet[M], event_id: str, event_time: str, expired: Q) -> int:
    """Scans `rows` from the oldest event to the retention's limit, and deletes the expired ones.

    Rows that stay, such as deliveries that were resent lately, are skipped and block nothing behind them.
    """
    limit = database_now() - EVENT_RETENTION
    deleted = after = 0
    for _batch in range(MAX_SCANNED_BATCHES):
        batch = rows.filter(**{f"{event_id}__gte": after}).order_by(event_id)
        scanned = list(batch.values_list("pk", event_id, event_time)[:BATCH])
        if not scanned or scanned[0][2] >= limit or deleted >= BATCH * MAX_BATCHES:
            break
        deleted += _delete_batch(
            rows.filter(expired, pk__in=[pk for pk, *_rest in scanned]).order_by(event_id)
        )
        last = scanned[-1][1]
        after = last if last > after else last + 1
    return deleted


def _prune_channel_events() -> int:
    """Deletes old channel events. If the channel resends one later, its effect is the same as that of a query."""
    return _delete_batch(
        ChannelEvent.objects.filter(received_at__lt=Now() - CHANNEL_EVENT_RETENTION).order_by("received_at")
    )


def _prune_consistency_runs() -> int:
    return _delete_batch(
        ConsistencyRun.objects.filter(started_at__lt=Now() - CONSISTENCY_RETENTION).order_by("id")
    )


def _prune_unknown_channel_events() -> int:
    """Deletes channel events about no payment of ours: those that are old, and the oldest of too many."""
    unknown = ChannelEvent.objects.filter(effect=UpdateEffect.UNKNOWN_REFERENCE)
    newest = unknown.order_by("-received_at").values_list("received_at", flat=True)
    first_too_many = newest[MAX_UNKNOWN_EVENTS : MAX_UNKNOWN_EVENTS + 1].first()
    too_old = Q(received_at__lt=Now() - UNKNOWN_EVENT_RETENTION)
    if first_too_many is not None:
        too_old |= Q(received_at__lte=first_too_many)
    return _delete_batch(unknown.filter(too_old).order_by("received_at"))


def _delete_batch(old: QuerySet[M]) -> int:
    """Deletes a batch without waiting for locked rows, which the next run deletes.

    Returns how many of `old` were deleted, without the rows that cascaded.
    """
    with transaction.atomic(durable=True):
        ids = list(old.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:BATCH])
        old.model._base_manager.filter(pk__in=ids).delete()
    return len(ids)
