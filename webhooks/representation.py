"""Endpoints and deliveries as the API shows them."""

from typing import Any

from django.utils.translation import gettext as _

from common.clock import rfc3339
from webhooks.endpoints import NewSecret
from webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint


def endpoint_body(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": str(endpoint.id),
        "kind": endpoint.kind,
        "url": endpoint.url or None,
        "description": endpoint.description,
        "event_types": endpoint.event_types,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason or None,
        "disabled_at": rfc3339(endpoint.disabled_at),
        "failing_since": rfc3339(endpoint.failing_since),
        "previous_secret_until": rfc3339(endpoint.previous_secret_until),
        "environment": endpoint.environment,
        "created_at": rfc3339(endpoint.created_at),
        "updated_at": rfc3339(endpoint.updated_at),
    }


def endpoint_body_with_secret(new: NewSecret) -> dict[str, Any]:
    return {
        **endpoint_body(new.endpoint),
        "secret": new.secret,
        "note": _("Store the secret now: it is not shown again."),
    }


def endpoint_body_in_replay(new: NewSecret) -> dict[str, Any]:
    """For a replay: without the secret."""
    return {
        **endpoint_body(new.endpoint),
        "secret": None,
        "note": _("The secret was shown once, when it was created. If you lost it, rotate it."),
    }


def delivery_body(delivery: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": str(delivery.id),
        "event_id": str(delivery.event.event_id),
        "event_type": delivery.event.type,
        # The number of the payment or refund. The outbox calls it the ordering key.
        "subject": delivery.event.ordering_key,
        "endpoint_id": str(delivery.endpoint_id),
        "url": delivery.callback_url or delivery.endpoint.url,
        "status": delivery.status,
        "attempt_count": delivery.attempt_count,
        "last_outcome": delivery.last_outcome or None,
        "last_status_code": delivery.last_status_code,
        "next_attempt_at": rfc3339(delivery.due_at),
        "delivered_at": rfc3339(delivery.delivered_at),
        "environment": delivery.environment,
        "created_at": rfc3339(delivery.created_at),
    }


def delivery_body_with_attempts(delivery: WebhookDelivery) -> dict[str, Any]:
    attempts = delivery.attempts.order_by("id")
    return {**delivery_body(delivery), "attempts": [_attempt_body(attempt) for attempt in attempts]}


def _attempt_body(attempt: WebhookAttempt) -> dict[str, Any]:
    return {
        "url": attempt.url,
        "outcome": attempt.outcome,
        "status_code": attempt.status_code,
        "response_headers": attempt.response_headers,
        "response_body": attempt.response_body,
        "error": attempt.error or None,
        "started_at": rfc3339(attempt.started_at),
        "duration_ms": attempt.duration_ms,
    }
