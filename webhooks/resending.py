"""Resends deliveries: one, all failed ones of an endpoint, or all events of a period.

Ids stay the same, and so does `delivered_at`: it is the first success, whatever becomes of the resend.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from common.errors import NotFound
from merchants.principal import Principal
from webhooks import selectors
from webhooks.errors import EndpointNotUsable, RangeTooLong
from webhooks.models import DeliveryStatus, EndpointKind, EndpointStatus, WebhookDelivery, WebhookEndpoint

MAX_RESENT = 1000

_RESET_TO_PENDING = (
    "status = 'pending', due_at = clock_timestamp(), attempt_count = 0, lease_expires_at = NULL, "
    "updated_at = clock_timestamp()"
)
_RESEND_FAILED = f"""
UPDATE webhook_deliveries SET {_RESET_TO_PENDING} WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE endpoint_id = %(endpoint)s AND status = 'failed'
    ORDER BY id LIMIT %(limit)s FOR UPDATE)
"""  # noqa: S608
# Events from before the endpoint was registered, or while it was disabled, get their delivery now. Pending deliveries
# are left alone. One event more than the limit is read: if it exists, the period is too long.
_RESEND_BETWEEN = f"""
WITH events AS MATERIALIZED (
    SELECT id, event_id, merchant_id, environment FROM outbox_events
    WHERE merchant_id = %(merchant)s AND environment = %(environment)s AND type <> 'webhook.test'
      AND created_at >= %(from)s AND created_at < %(to)s AND fanned_out_at IS NOT NULL
      AND (%(types)s::text[] = '{{}}' OR type = ANY(%(types)s::text[]))
    ORDER BY created_at, event_id LIMIT %(limit)s + 1
), resent AS (
    INSERT INTO webhook_deliveries AS delivery (id, event_id, endpoint_id, merchant_id, environment, callback_url,
                                                status, due_at, fence, attempt_count, last_outcome)
    SELECT uuidv7(), id, %(endpoint)s, merchant_id, environment, '', 'pending', clock_timestamp(), 0, 0, ''
    FROM events ORDER BY event_id
    ON CONFLICT (event_id, endpoint_id) DO UPDATE SET {_RESET_TO_PENDING} WHERE delivery.status <> 'pending'
    RETURNING 1
)
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM resent)
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ResendResult:
    """`has_more`: the limit of one call was reached, call again for the rest."""

    count: int
    has_more: bool


@transaction.atomic
def resend_delivery(*, principal: Principal, delivery_id: UUID) -> WebhookDelivery:
    """Makes the delivery due now, with the whole retry schedule. Raises `NotFound`, `EndpointNotUsable`."""
    _resend(selectors.delivery_of(principal, delivery_id))
    return selectors.delivery_of(principal, delivery_id)


@transaction.atomic
def resend_delivery_for_staff(*, delivery_id: UUID) -> WebhookDelivery:
    """As `resend_delivery`, for any merchant. Raises `NotFound`, `EndpointNotUsable`."""
    delivery = WebhookDelivery.objects.select_related("endpoint").filter(id=delivery_id).first()
    if delivery is None:
        raise NotFound
    _resend(delivery)
    delivery.refresh_from_db()
    return delivery


def _resend(delivery: WebhookDelivery) -> None:
    _require_enabled(delivery.endpoint)
    locked = WebhookDelivery.objects.select_for_update(of=("self",)).get(id=delivery.id)
    if locked.status == DeliveryStatus.PENDING and locked.lease_expires_at is not None:
        return  # a call is in flight
    WebhookDelivery.objects.filter(id=delivery.id).update(
        status=DeliveryStatus.PENDING,
        due_at=Now(),
        attempt_count=0,
        lease_expires_at=None,
        updated_at=Now(),
    )


@transaction.atomic
def resend_failed_deliveries(*, principal: Principal, endpoint_id: UUID) -> ResendResult:
    """Resends every delivery that failed for good. Raises `NotFound`, `EndpointNotUsable`."""
    endpoint = selectors.endpoint_of(principal, endpoint_id)
    _require_enabled(endpoint)
    with connection.cursor() as cursor:
        cursor.execute(_RESEND_FAILED, {"endpoint": endpoint.id, "limit": MAX_RESENT})
        return ResendResult(cursor.rowcount, has_more=cursor.rowcount == MAX_RESENT)


@transaction.atomic
def resend_events_between(
    *, principal: Principal, endpoint_id: UUID, created_from: dt.datetime, created_to: dt.datetime
) -> ResendResult:
    """Resends every event of the period that the endpoint subscribes to, delivered before or not.

    Raises `NotFound`, `EndpointNotUsable`, and `RangeTooLong`, which resends none.
    """
    endpoint = selectors.endpoint_of(principal, endpoint_id)
    if endpoint.kind == EndpointKind.CALLBACK:
        raise EndpointNotUsable({"kind": endpoint.kind})
    _require_enabled(endpoint)
    values: dict[str, Any] = {
        "endpoint": endpoint.id,
        "merchant": endpoint.merchant_id,
        "environment": endpoint.environment,
        "types": endpoint.event_types,
        "from": created_from,
        "to": created_to,
        "limit": MAX_RESENT,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RESEND_BETWEEN, values)
        events, resent = cursor.fetchone()
    if events > MAX_RESENT:
        raise RangeTooLong({"limit": MAX_RESENT})
    return ResendResult(resent, has_more=False)


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.status != EndpointStatus.ENABLED:
        raise EndpointNotUsable({"status": endpoint.status})
