"""One attempt: call, then record what came of it, fenced. No transaction is open during the call."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from opentelemetry.trace import SpanKind

from common import crash, tracing
from common.api.renderers import to_json
from common.crypto import unseal
from common.redaction import LOGS, redact
from events import cloudevents
from events.models import OutboxEvent
from webhooks import endpoints, http, metrics, schedule, signing
from webhooks.claims import SLOW_SECONDS, Claim
from webhooks.http import Reply
from webhooks.models import (
    AttemptOutcome,
    DeliveryStatus,
    DisabledReason,
    EndpointKind,
    EndpointStatus,
    Lane,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)

log = structlog.get_logger(__name__)

GONE = 410


@dataclass(frozen=True, slots=True)
class Message:
    """Everything of a call but the address. `body` is the same at every attempt. `timestamp` is the database's: who is
    told refuses what is signed by a clock that is five minutes off."""

    message_id: str
    timestamp: int
    event_type: str
    body: bytes
    secrets: tuple[str, ...]
    trace_context: Mapping[str, str]


def attempt(claim: Claim) -> Reply:
    """Calls and records. The endpoint may be told twice when the process dies in between, under the same id."""
    message = _message(claim)
    headers = signing.signed_headers(
        message_id=message.message_id, timestamp=message.timestamp, body=message.body, secrets=message.secrets
    )
    connection.close()  # back to the pool, which is smaller than the number of calls that may hang
    crash.reach("webhook.call.before")
    reply = _call(claim, message, {**headers, "Content-Type": "application/json"})
    crash.reach("webhook.call.after")
    record(claim, reply)
    metrics.DELIVERIES.labels(reply.outcome.value).inc()
    metrics.DELIVERY_SECONDS.observe(reply.duration_ms / 1000)
    return reply


def _call(claim: Claim, message: Message, headers: Mapping[str, str]) -> Reply:
    """A span of the trace in which the event happened. The address stays out of it: merchants put tokens there."""
    about: tracing.Attributes = {
        "event.type": message.event_type,
        "event.id": message.message_id,
        "webhook.delivery": str(claim.delivery_id),
        "webhook.attempt": claim.attempt_count,
    }
    with tracing.following(message.trace_context, "webhook out", about, SpanKind.CLIENT) as span:
        reply = http.post(
            claim.url, headers=headers, body=message.body, total_seconds=settings.WEBHOOK_TIMEOUT_SECONDS
        )
        span.set_attribute("webhook.outcome", reply.outcome.value)
        if reply.status_code is not None:
            span.set_attribute("http.response.status_code", reply.status_code)
        if reply.outcome != AttemptOutcome.SUCCESS:
            tracing.failed(span, reply.outcome.value)
        return reply


def _message(claim: Claim) -> Message:
    event = OutboxEvent.objects.annotate(now=Now()).get(id=claim.event_id)
    endpoint = WebhookEndpoint.objects.get(id=claim.endpoint_id)
    secrets = [unseal(endpoint.sealed_secret)]
    until = endpoint.previous_secret_until
    if until is not None and until > event.now:
        secrets.append(unseal(endpoint.previous_sealed_secret))
    body = to_json(cloudevents.structured(event))
    return Message(
        message_id=str(event.event_id),
        timestamp=int(event.now.timestamp()),
        event_type=event.type,
        body=body,
        secrets=tuple(secrets),
        trace_context=event.trace_context,
    )


@transaction.atomic(durable=True)
def record(claim: Claim, reply: Reply) -> bool:
    """False when somebody else has taken over: then nothing is written."""
    ours = WebhookDelivery.objects.filter(
        id=claim.delivery_id, fence=claim.fence, status=DeliveryStatus.PENDING
    ).update(**_next_state(claim, reply), updated_at=Now())
    if not ours:
        log.warning("webhook.superseded", delivery_id=str(claim.delivery_id), fence=claim.fence)
        return False
    WebhookAttempt.objects.filter(delivery_id=claim.delivery_id, fence=claim.fence).update(
        outcome=reply.outcome,
        status_code=reply.status_code,
        response_headers=redact(reply.headers, LOGS),
        response_body=redact(reply.body, LOGS),
        error=redact(reply.error, LOGS),
        duration_ms=reply.duration_ms,
    )
    _judge_endpoint(claim, reply)
    return True


def _next_state(claim: Claim, reply: Reply) -> dict[str, object]:
    told = {
        "lease_expires_at": None,
        "last_outcome": reply.outcome,
        "last_status_code": reply.status_code,
    }
    if reply.outcome == AttemptOutcome.SUCCESS:
        first_time = Coalesce(F("delivered_at"), Now())  # a resend does not change when the merchant was told
        return {**told, "status": DeliveryStatus.DELIVERED, "due_at": None, "delivered_at": first_time}
    delay = None if reply.status_code == GONE else schedule.delay_after(claim.attempt_count)
    if delay is None:
        return {**told, "status": DeliveryStatus.FAILED, "due_at": None}
    return {**told, "due_at": Now() + timedelta(seconds=delay)}


def _judge_endpoint(claim: Claim, reply: Reply) -> None:
    """Changes the endpoint's row only when something about it changes: its deliveries do not queue for it."""
    endpoint = WebhookEndpoint.objects.filter(id=claim.endpoint_id)
    if reply.outcome == AttemptOutcome.SUCCESS:
        lane = Lane.FAST if reply.duration_ms < SLOW_SECONDS * 1000 else Lane.SLOW
        endpoint.filter(~Q(lane=lane) | Q(failing_since__isnull=False)).update(lane=lane, failing_since=None)
        return
    endpoint.filter(Q(lane=Lane.FAST) | Q(failing_since__isnull=True)).update(
        lane=Lane.SLOW, failing_since=Coalesce(F("failing_since"), Now())
    )
    live = endpoint.filter(kind=EndpointKind.REGISTERED, status=EndpointStatus.ENABLED)
    if reply.status_code == GONE:
        endpoints.disable(live, reason=DisabledReason.GONE)
    else:
        long_ago = Now() - timedelta(days=schedule.DISABLE_AFTER_DAYS)
        endpoints.disable(live.filter(failing_since__lt=long_ago), reason=DisabledReason.FAILING)
