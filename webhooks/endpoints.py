"""The life of an endpoint: registered, changed, tested, its secret rotated, disabled, deleted."""

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
from events.outbox import Event, append, row_of
from merchants.models import Merchant
from merchants.principal import Principal
from webhooks import fanout, guard, metrics, selectors
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
OVERLAP = dt.timedelta(hours=24)
CANCELLED_AT_ONCE = 500
LEFT_OVER = dt.timedelta(days=1)  # after a deletion, nothing is any more

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSecret:
    """An endpoint with the text that is not stored: to be shown to its owner now, or never."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


def require_reachable(url: str) -> None:
    """Asks name servers, so call it before a transaction begins. Raises `ValidationFailed`."""
    try:
        guard.check_registration(url)
    except guard.AddressRefused as error:
        raise ValidationFailed({"url": [str(error.reason)]}) from error


@transaction.atomic
def register(
    *, principal: Principal, endpoint_id: UUID, url: str, event_types: Sequence[str], description: str
) -> NewSecret:
    """Raises `TooManyEndpoints`."""
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
def change(*, principal: Principal, endpoint_id: UUID, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """`changes` may hold url, description, event_types and status. Enabling it lets what is pending go on.

    Raises `NotFound`, `ValidationFailed`.
    """
    endpoint = _locked(principal, endpoint_id)
    if endpoint.kind == EndpointKind.CALLBACK:
        refused = {name: [str(EndpointNotUsable.text)] for name in changes if name in ("url", "event_types")}
        if refused:
            raise ValidationFailed(refused)
    for name in ("url", "description", "event_types"):
        if name in changes:
            setattr(endpoint, name, changes[name])
    status = changes.get("status", endpoint.status)
    if status != endpoint.status:
        disabled = status == EndpointStatus.DISABLED
        endpoint.status = status
        endpoint.disabled_at = database_now() if disabled else None
        endpoint.disabled_reason = DisabledReason.MERCHANT if disabled else ""
        endpoint.notice_due_at = None
    if "url" in changes or status == EndpointStatus.ENABLED:
        endpoint.failing_since, endpoint.lane = None, Lane.FAST
    endpoint.updated_at = database_now()
    endpoint.save()
    return endpoint


@transaction.atomic
def delete(*, principal: Principal, endpoint_id: UUID) -> None:
    """What was not delivered yet never will be: nothing is claimed for an endpoint that is gone. Some of it is
    cancelled here, and a long backlog soon (`cancel_leftovers`). The history stays for as long as all history does.

    Raises `NotFound`, and `EndpointNotUsable` for the one of `callback_url`.
    """
    endpoint = _locked(principal, endpoint_id)
    if endpoint.kind == EndpointKind.CALLBACK:
        raise EndpointNotUsable({"kind": endpoint.kind})
    endpoint.status, endpoint.disabled_at, endpoint.disabled_reason = EndpointStatus.DELETED, None, ""
    endpoint.notice_due_at, endpoint.updated_at = None, database_now()
    endpoint.save()
    _cancel(endpoint.deliveries.all())
    log.info("webhook_endpoint.deleted", endpoint_id=str(endpoint.id), merchant_id=str(endpoint.merchant_id))


def cancel_leftovers() -> int:
    """What still waits at endpoints that were deleted, in batches. Answers how many that were."""
    gone = WebhookEndpoint.objects.filter(status=EndpointStatus.DELETED, updated_at__gt=Now() - LEFT_OVER)
    total = 0
    for endpoint in gone:
        while cancelled := _cancel(endpoint.deliveries.all()):
            total += cancelled
    return total


@transaction.atomic
def rotate_secret(*, principal: Principal, endpoint_id: UUID, overlap: dt.timedelta = OVERLAP) -> NewSecret:
    """A new secret; the one before signs too for `overlap`. Raises `NotFound`."""
    return _rotate(_locked(principal, endpoint_id), overlap)


@transaction.atomic
def rotate_callback_secret(*, principal: Principal, overlap: dt.timedelta = OVERLAP) -> NewSecret:
    """The same for what goes to the `callback_url` of payments; before the first of them, too."""
    endpoint = fanout.callback_endpoint(merchant_id=principal.merchant_id, environment=principal.environment)
    return _rotate(_locked(principal, endpoint.id), overlap)


@transaction.atomic
def send_test(*, principal: Principal, endpoint_id: UUID) -> WebhookDelivery:
    """An event that goes to this endpoint alone. Raises `NotFound`, `EndpointNotUsable`."""
    return _send_test(_locked(principal, endpoint_id))


@transaction.atomic
def send_test_by_staff(*, endpoint_id: UUID) -> WebhookDelivery:
    """The same, asked for by who is of no tenant. Raises `EndpointNotUsable`."""
    return _send_test(WebhookEndpoint.objects.select_for_update(no_key=True).get(id=endpoint_id))


def disable(live: QuerySet[WebhookEndpoint], *, reason: DisabledReason) -> None:
    """Disables those of `live` and tells the merchant's other endpoints; the merchant is told by e-mail, soon. What is
    pending waits, should it be enabled again. Runs in the caller's transaction."""
    for endpoint in live.select_for_update(no_key=True):
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
        append(_event(catalogue.ENDPOINT_DISABLED, endpoint, data))
        transaction.on_commit(lambda: metrics.DISABLED.labels(reason.value).inc())
        log.warning("webhook_endpoint.disabled", endpoint_id=str(endpoint.id), reason=reason.value)


@transaction.atomic
def _cancel(deliveries: QuerySet[WebhookDelivery]) -> int:
    """What somebody records an outcome for at this moment is left to them."""
    pending = deliveries.filter(status=DeliveryStatus.PENDING).order_by("due_at")
    locked = pending.select_for_update(skip_locked=True, of=("self",))
    some = locked.values_list("pk", flat=True)[:CANCELLED_AT_ONCE]
    return WebhookDelivery.objects.filter(pk__in=list(some)).update(
        status=DeliveryStatus.CANCELLED, due_at=None, lease_expires_at=None, updated_at=Now()
    )


def _send_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    if endpoint.kind == EndpointKind.CALLBACK or endpoint.status != EndpointStatus.ENABLED:
        raise EndpointNotUsable({"kind": endpoint.kind, "status": endpoint.status})
    now = database_now()
    row = row_of(_event(catalogue.TEST, endpoint, {"endpoint_id": str(endpoint.id), "sent_at": rfc3339(now)}))
    # It has left already, as far as the relay is concerned: it is nobody else's business.
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


def _rotate(endpoint: WebhookEndpoint, overlap: dt.timedelta) -> NewSecret:
    secret = new_secret()
    endpoint.previous_sealed_secret, endpoint.sealed_secret = endpoint.sealed_secret, seal(secret)
    endpoint.updated_at = database_now()
    endpoint.previous_secret_until = endpoint.updated_at + overlap
    endpoint.save(
        update_fields=["sealed_secret", "previous_sealed_secret", "previous_secret_until", "updated_at"]
    )
    log.info("webhook_endpoint.secret_rotated", endpoint_id=str(endpoint.id))
    return NewSecret(endpoint, secret)


def _locked(principal: Principal, endpoint_id: UUID) -> WebhookEndpoint:
    selectors.endpoint_of(principal, endpoint_id)
    return WebhookEndpoint.objects.select_for_update(no_key=True).get(id=endpoint_id)


def _event(event_type: str, endpoint: WebhookEndpoint, data: Mapping[str, Any]) -> Event:
    return Event(
        type=event_type,
        ordering_key=str(endpoint.id),
        merchant_id=endpoint.merchant_id,
        environment=endpoint.environment,
        subject_id=endpoint.id,
        data=data,
    )
