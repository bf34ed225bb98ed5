"""Events as the API shows them."""

from typing import Any

from events import cloudevents
from events.models import OutboxEvent


def event_body(event: OutboxEvent) -> dict[str, Any]:
    """Returns exactly the body of the webhook."""
    return cloudevents.to_structured_mode(event)
