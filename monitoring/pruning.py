"""Drops old partitions, and deletes other old history in small batches, so that no lock is held for long."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog
from django.db import transaction
from django.db.models import Exists, Model, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from common.clock import database_now
from events.models import OutboxEvent
from gateway.models import ChannelEvent, UpdateEffect
from idempotency import retention
from merchants.services import prune_nonces
from monitoring.models import ConsistencyRun
from monitoring.partitions import drop_expired_partitions, find_delivery_limit, find_saga_limit
from monitoring.retention import (
    CHANNEL_EVENT_RETENTION,
    CONSISTENCY_RETENTION,
    EVENT_RETENTION,
    MAX_UNKNOWN_EVENTS,
    UNKNOWN_EVENT_RETENTION,
    is_deletable_delivery,
    is_deletable_saga,
    is_write_over,
)
from sagas.models import SagaInstance
from webhooks.models import WebhookDelivery

M = TypeVar("M", bound=Model)
log = structlog.get_logger(__name__)

BATCH = 500
# Limits of one run, which beat starts every five minutes: 660 rows of each kind per second.
MAX_BATCHES = 400
MAX_SCANNED_BATCHES = 2000


@dataclass(frozen=True, slots=True)
class Pruned:
    partitions: int
    idempotency_keys: int
    request_nonces: int
    sagas: int
    webhook_deliveries: int
    outbox_events: int
    channel_events: int
    consistency_runs: int
    unknown_channel_events: int


def prune_history() -> Pruned:
    partitions = drop_expired_partitions()
    pruned = Pruned(
        partitions=partitions,
        idempotency_keys=_in_batches(lambda: retention.prune_keys(is_over=is_write_over(), batch=BATCH)),
        request_nonces=_in_batches(lambda: prune_nonces(batch=BATCH)),
        sagas=_in_batches(partial(_prune_sagas, find_saga_limit())),
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


def _prune_sagas(created_before: datetime) -> int:
    """Deletes finished sagas whose steps and events were dropped with their partitions, and the kept rows of others."""
    old = SagaInstance.objects.filter(is_deletable_saga(), created_at__lt=created_before)
    return _delete_batch(old.order_by("created_at"))


def _prune_deliveries() -> int:
    """Deletes deliveries whose attempts were dropped with their partition, and the kept attempts of others."""
    limit = find_delivery_limit()
    expired = is_deletable_delivery() & Q(created_at__lt=limit)
    return _prune_in_event_order(
        WebhookDelivery.objects.all(), "event_id", "event__created_at", expired, limit
    )


def _prune_events() -> int:
    """Deletes events that were published and fanned out long ago and have no delivery left."""
    sent = Q(published_at__lt=Now() - EVENT_RETENTION, fanned_out_at__lt=Now() - EVENT_RETENTION)
    has_no_delivery = ~Exists(WebhookDelivery.objects.filter(event_id=OuterRef("pk")))
    limit = database_now() - EVENT_RETENTION
    return _prune_in_event_order(
        OutboxEvent.objects.all(), "id", "created_at", sent & Q(has_no_delivery), limit
    )


def _prune_in_event_order(
    rows: QuerySet[M], event_id: str, event_time: str, expired: Q, limit: datetime
) -> int:
    """Scans `rows` from the oldest event to the first one after `limit`, and deletes the expired ones.

    Rows that stay, such as deliveries that were resent lately, are skipped and block nothing behind them.
    """
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
