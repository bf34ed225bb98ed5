"""Changes webhook endpoints: registers, updates, tests, disables and deletes them, and rotates their secrets."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from common.clock import database_now, rfc3339
from common.crypto import seal
from common.db import insert_together
from common.errors import ValidationFailed
from common.ids import uuid7
from events import catalogue
from events.models import OutboxEvent
from events.outbox import Event, append_event, build_event_row
from merchants.models import Merchant
from merchants.principal import Principal
from webhooks import fanout, metrics, selectors, ssrf_guard
from webhooks.errors import EndpointNotUsable, TooManyEndpoints
from webhooks.models import (
    DeliveryStatus,
    DisabledReason,
    EndpointKind,
    EndpointStatus,
    Lane,
    WebhookDelivery,
    WebhookEndpoint,
)
from webhooks.signing import new_secret

MAX_ENDPOINTS = 50
SECRET_OVERLAP = dt.timedelta(hours=24)
CANCEL_BATCH = 500
# Deliveries that a deletion left pending are cancelled by then.
CLEANUP_PERIOD = dt.timedelta(days=1)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint with its new signing secret in the clear. Only the sealed secret is stored: show it now or never."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


def require_reachable(url: str) -> None:
    """Does DNS lookups: call it before a transaction begins. Raises `ValidationFailed`."""
    try:
        ssrf_guard.check_new_url(url)
    except ssrf_guard.AddressRefused as error:
        raise ValidationFailed({"url": [str(error.reason)]}) from error


@transaction.atomic
def register_endpoint(
    *, principal: Principal, endpoint_id: UUID, url: str, event_types: Sequence[str], description: str
) -> NewSecret:
    """Registers an endpoint with a new signing secret. Raises `TooManyEndpoints`."""
    Merchant.objects.select_for_update(no_key=True).get(pk=principal.merchant_id)
    if selectors.endpoints_of(principal).count() >= MAX_ENDPOINTS:
        raise TooManyEndpoints({"limit": MAX_ENDPOINTS})
    secret = new_secret()
    endpoint = WebhookEndpoint.objects.create(
        id=endpoint_id,
        merchant_id=principal.merchant_id,
        environment=principal.environment,
        url=url,
        event_types=list(event_types),
        description=description,
        sealed_secret=seal(secret),
    )
    log.info(
        "webhook_endpoint.registered", endpoint_id=str(endpoint.id), merchant_id=str(endpoint.merchant_id)
    )
    return NewSecret(endpoint, secret)


@transaction.atomic
def update_endpoint(
    *, principal: Principal, endpoint_id: UUID, changes: Mapping[str, Any]
) -> WebhookEndpoint:
    """Changes `url`, `description`, `event_types` or `status`. An endpoint that is enabled again gets its pending
    deliveries.

    Raises `NotFound`, `ValidationFailed`.
    """
    endpoint = _lock_endpoint(principal, endpoint_id)
    if endpoint.kind == EndpointKind.CALLBACK:
        refused = {name: [str(EndpointNotUsable.text)] for name in changes if name in ("url", "event_types")}
        if refused:
            raise ValidationFailed(refused)
    for name in ("url", "description", "event_types"):
        if name in changes:
            setattr(endpoint, name, changes[name])
    status = changes.get("status", endpoint.status)
    if status != endpoint.status:
        is_disabled = status == EndpointStatus.DISABLED
        endpoint.status = status
        endpoint.disabled_at = database_now() if is_disabled else None
        endpoint.disabled_reason = DisabledReason.MERCHANT if is_disabled else ""
        endpoint.notice_due_at = None
    if "url" in changes or status == EndpointStatus.ENABLED:
        endpoint.failing_since, endpoint.lane = None, Lane.FAST
    endpoint.updated_at = database_now()
    endpoint.save()
    return endpoint


@transaction.atomic
def delete_endpoint(*, principal: Principal, endpoint_id: UUID) -> None:
    """Deletes the endpoint: nothing is claimed for it any more. Cancels one batch of its pending deliveries; a periodic
    task cancels the rest (`cancel_leftover_deliveries`). Its history is kept as long as all history.

    Raises `NotFound`, and `EndpointNotUsable` for the endpoint of `callback_url`.
    """
    endpoint = _lock_endpoint(principal, endpoint_id)
    if endpoint.kind == EndpointKind.CALLBACK:
        raise EndpointNotUsable({"kind": endpoint.kind})
    endpoint.status, endpoint.disabled_at, endpoint.disabled_reason = EndpointStatus.DELETED, None, ""
    endpoint.notice_due_at, endpoint.updated_at = None, database_now()
    endpoint.save()
    _cancel_pending(endpoint.deliveries.all())
    log.info("webhook_endpoint.deleted", endpoint_id=str(endpoint.id), merchant_id=str(endpoint.merchant_id))


def cancel_leftover_deliveries() -> int:
    """Cancels, in batches, what is still pending at deleted endpoints. Returns the number of cancelled deliveries."""
    deleted = WebhookEndpoint.objects.filter(
        status=EndpointStatus.DELETED, updated_at__gt=Now() - CLEANUP_PERIOD
    )
    total = 0
    for endpoint in deleted:
        while cancelled := _cancel_pending(endpoint.deliveries.all()):
            total += cancelled
    return total


@transaction.atomic
def rotate_secret(
    *, principal: Principal, endpoint_id: UUID, overlap: dt.timedelta = SECRET_OVERLAP
) -> NewSecret:
    """Makes a new secret. The previous one signs as well for `overlap`. Raises `NotFound`."""
    return _replace_secret(_lock_endpoint(principal, endpoint_id), overlap)


@transaction.atomic
def rotate_callback_secret(*, principal: Principal, overlap: dt.timedelta = SECRET_OVERLAP) -> NewSecret:
    """Makes a new secret for calls to the `callback_url` of payments. Works before the first such payment, too."""
    endpoint = fanout.get_or_create_callback_endpoint(
        merchant_id=principal.merchant_id, environment=principal.environment
    )
    return _replace_secret(_lock_endpoint(principal, endpoint.id), overlap)


@transaction.atomic
def send_test_event(*, principal: Principal, endpoint_id: UUID) -> WebhookDelivery:
    """Sends a `webhook.test` event to this endpoint only. Raises `NotFound`, `EndpointNotUsable`."""
    return _create_test_delivery(_lock_endpoint(principal, endpoint_id))


@transaction.atomic
def send_test_event_for_staff(*, endpoint_id: UUID) -> WebhookDelivery:
    """Does the same for staff, who belong to no tenant. Raises `EndpointNotUsable`."""
    return _create_test_delivery(WebhookEndpoint.objects.select_for_update(no_key=True).get(id=endpoint_id))


def disable_endpoints(found: QuerySet[WebhookEndpoint], *, reason: DisabledReason) -> None:
    """Disables these endpoints, sends `webhook_endpoint.disabled` to the merchant's other ones, and makes an e-mail to
    the merchant due. Deliveries stay pending until the endpoint is enabled again. Runs in the caller's transaction."""
    for endpoint in found.select_for_update(no_key=True):
        endpoint.status, endpoint.disabled_reason = EndpointStatus.DISABLED, reason
        endpoint.disabled_at = endpoint.notice_due_at = endpoint.updated_at = database_now()
        endpoint.save(
            update_fields=["status", "disabled_reason", "disabled_at", "notice_due_at", "updated_at"]
        )
        data = {
            "endpoint_id": str(endpoint.id),
            "url": endpoint.url,
            "reason": reason.value,
            "failing_since": rfc3339(endpoint.failing_since),
            "disabled_at": rfc3339(endpoint.disabled_at),
        }
        append_event(_build_event(catalogue.ENDPOINT_DISABLED_TYPE, endpoint, data))
        transaction.on_commit(lambda: metrics.DISABLED.labels(reason.value).inc())
        log.warning("webhook_endpoint.disabled", endpoint_id=str(endpoint.id), reason=reason.value)


@transaction.atomic
def _cancel_pending(deliveries: QuerySet[WebhookDelivery]) -> int:
    """Cancels a batch. Skips rows that are locked: their outcome is being recorded at this moment."""
    pending = deliveries.filter(status=DeliveryStatus.PENDING).order_by("due_at")
    locked = pending.select_for_update(skip_locked=True, of=("self",))
    batch = locked.values_list("pk", flat=True)[:CANCEL_BATCH]
    return WebhookDelivery.objects.filter(pk__in=list(batch)).update(
        status=DeliveryStatus.CANCELLED, due_at=None, lease_expires_at=None, updated_at=Now()
    )


def _create_test_delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    if endpoint.kind == EndpointKind.CALLBACK or endpoint.status != EndpointStatus.ENABLED:
        raise EndpointNotUsable({"kind": endpoint.kind, "status": endpoint.status})
    now = database_now()
    data = {"endpoint_id": str(endpoint.id), "sent_at": rfc3339(now)}
    row = build_event_row(_build_event(catalogue.TEST_TYPE, endpoint, data))
    # Marked as published and fanned out: the event goes to no sink and to no other endpoint.
    row.published_at = row.fanned_out_at = now
    insert_together(row)
    event = OutboxEvent.objects.get(event_id=row.event_id)
    return WebhookDelivery.objects.create(
        id=uuid7(),
        event=event,
        endpoint=endpoint,
        merchant_id=endpoint.merchant_id,
        environment=endpoint.environment,
        due_at=now,
    )


def _replace_secret(endpoint: WebhookEndpoint, overlap: dt.timedelta) -> NewSecret:
    secret = new_secret()
    endpoint.previous_sealed_secret, endpoint.sealed_secret = endpoint.sealed_secret, seal(secret)
    endpoint.updated_at = database_now()
    endpoint.previous_secret_until = endpoint.updated_at + overlap
    endpoint.save(
        update_fields=["sealed_secret", "previous_sealed_secret", "previous_secret_until", "updated_at"]
    )
    log.info("webhook_endpoint.secret_rotated", endpoint_id=str(endpoint.id))
    return NewSecret(endpoint, secret)


def _lock_endpoint(principal: Principal, endpoint_id: UUID) -> WebhookEndpoint:
    """Raises `NotFound`."""
    selectors.endpoint_of(principal, endpoint_id)
    return WebhookEndpoint.objects.select_for_update(no_key=True).get(id=endpoint_id)


def _build_event(event_type: str, endpoint: WebhookEndpoint, data: Mapping[str, Any]) -> Event:
    return Event(
        type=event_type,
        ordering_key=str(endpoint.id),
        merchant_id=endpoint.merchant_id,
        environment=endpoint.environment,
        subject_id=endpoint.id,
        data=data,
    )
