"""Makes one delivery attempt: calls the endpoint, then records the outcome under the claim's fencing token.

No transaction is open and no connection is held during the call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from opentelemetry.trace import SpanKind

from common import crash, tracing
from common.api.renderers import to_json
from common.crypto import unseal
from common.external_calls import release_while_waiting
from common.redaction import LOGS, redact
from events import cloudevents
from events.models import OutboxEvent
from webhooks import endpoint_state, http_client, metrics, retry_schedule, signing
from webhooks.claims import ClaimedDelivery
from webhooks.http_client import EndpointResponse
from webhooks.models import (
    MAX_ERROR_LENGTH,
    AttemptOutcome,
    DeliveryStatus,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A delivery's content, without the address. `body` is the same at every attempt. `timestamp` comes from the
    database's clock: receivers refuse a signature whose time is five minutes off."""

    message_id: str
    timestamp: int
    event_type: str
    body: bytes
    secrets: tuple[str, ...]
    trace_context: Mapping[str, str]


def attempt_delivery(claim: ClaimedDelivery) -> EndpointResponse:
    """Calls the endpoint and records the outcome. If the process dies in between, the event is sent again under the
    same `webhook-id` when the lease expires."""
    message = _build_message(claim)
    headers = signing.signed_headers(
        message_id=message.message_id, timestamp=message.timestamp, body=message.body, secrets=message.secrets
    )
    with release_while_waiting():
        crash.reach("webhook.call.before")
        response = _call_endpoint(claim, message, {**headers, "Content-Type": "application/json"})
        crash.reach("webhook.call.after")
    record_outcome(claim, response)
    metrics.DELIVERIES.labels(response.outcome.value).inc()
    metrics.DELIVERY_SECONDS.observe(response.duration_ms / 1000)
    return response


def _build_message(claim: ClaimedDelivery) -> WebhookMessage:
    event = OutboxEvent.objects.annotate(now=Now()).get(id=claim.event_id)
    endpoint = WebhookEndpoint.objects.get(id=claim.endpoint_id)
    secrets = [unseal(endpoint.sealed_secret)]
    until = endpoint.previous_secret_until
    if until is not None and until > event.now:
        secrets.append(unseal(endpoint.previous_sealed_secret))
    return WebhookMessage(
        message_id=str(event.event_id),
        timestamp=int(event.now.timestamp()),
        event_type=event.type,
        body=to_json(cloudevents.to_structured_mode(event)),
        secrets=tuple(secrets),
        trace_context=event.trace_context,
    )


def _call_endpoint(
    claim: ClaimedDelivery, message: WebhookMessage, headers: Mapping[str, str]
) -> EndpointResponse:
    """Calls within a span of the event's trace. The span does not hold the address: merchants put tokens there."""
    attributes: tracing.Attributes = {
        "event.type": message.event_type,
        "event.id": message.message_id,
        "webhook.delivery": str(claim.delivery_id),
        "webhook.attempt": claim.attempt_count,
    }
    with tracing.continue_trace(message.trace_context, "webhook out", attributes, SpanKind.CLIENT) as span:
        response = http_client.post_webhook(
            claim.url, headers=headers, body=message.body, total_seconds=settings.WEBHOOK_TIMEOUT_SECONDS
        )
        span.set_attribute("webhook.outcome", response.outcome.value)
        if response.status_code is not None:
            span.set_attribute("http.response.status_code", response.status_code)
        if response.outcome != AttemptOutcome.SUCCESS:
            tracing.mark_failed(span, response.outcome.value)
        return response


@transaction.atomic(durable=True)
def record_outcome(claim: ClaimedDelivery, response: EndpointResponse) -> bool:
    """Writes the outcome to the delivery, its attempt and its endpoint. Writes nothing and returns False when the
    lease has expired and another worker has claimed the delivery: its fencing token is newer."""
    is_recorded = WebhookDelivery.objects.filter(
        id=claim.delivery_id, fence=claim.fence, status=DeliveryStatus.PENDING
    ).update(**_delivery_changes(claim, response), updated_at=Now())
    if not is_recorded:
        log.warning("webhook.stale_worker", delivery_id=str(claim.delivery_id), fence=claim.fence)
        return False
    WebhookAttempt.objects.filter(delivery_id=claim.delivery_id, fence=claim.fence).update(
        outcome=response.outcome,
        status_code=response.status_code,
        response_headers=redact(response.headers, LOGS),
        response_body=redact(response.body, LOGS),
        error=redact(response.error, LOGS)[:MAX_ERROR_LENGTH],  # escaping makes a text longer
        duration_ms=response.duration_ms,
    )
    endpoint_state.update_endpoint_state(claim, response)
    return True


def _delivery_changes(claim: ClaimedDelivery, response: EndpointResponse) -> dict[str, object]:
    outcome = {
        "lease_expires_at": None,
        "last_outcome": response.outcome,
        "last_status_code": response.status_code,
    }
    if response.outcome == AttemptOutcome.SUCCESS:
        first_success = Coalesce(F("delivered_at"), Now())  # a resend does not change it
        return {**outcome, "status": DeliveryStatus.DELIVERED, "due_at": None, "delivered_at": first_success}
    delay = (
        None
        if response.status_code == endpoint_state.GONE
        else retry_schedule.retry_delay_seconds(claim.attempt_count)
    )
    if delay is None:
        return {**outcome, "status": DeliveryStatus.FAILED, "due_at": None}
    return {**outcome, "due_at": Now() + timedelta(seconds=delay)}
