"""Events, endpoints and deliveries as the API shows them. Secrets never are, except to whom they were just made for."""

from typing import Any

from events import cloudevents
from events.models import OutboxEvent


def event_body(event: OutboxEvent) -> dict[str, Any]:
    """Exactly what a webhook says."""
    return cloudevents.structured(event)
