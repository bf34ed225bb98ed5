"""Changes an endpoint after a delivery attempt: its lane, `failing_since`, and whether it is disabled."""

from datetime import timedelta

from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from webhooks import endpoints
from webhooks.claims import SLOW_SECONDS, ClaimedDelivery
from webhooks.http_client import EndpointResponse
from webhooks.models import (
    AttemptOutcome,
    DisabledReason,
    EndpointKind,
    EndpointStatus,
    Lane,
    WebhookEndpoint,
)

GONE = 410  # the endpoint asks for no further deliveries
# An endpoint is disabled when it has failed for longer.
DISABLE_AFTER_DAYS = 5


def update_endpoint_state(claim: ClaimedDelivery, response: EndpointResponse) -> None:
    """Sets the lane and `failing_since`, and disables an endpoint that is gone or has failed for too long. Writes the
    row only when something changes, so that concurrent deliveries to one endpoint do not wait for its lock."""
    endpoint = WebhookEndpoint.objects.filter(id=claim.endpoint_id)
    if response.outcome == AttemptOutcome.SUCCESS:
        lane = Lane.FAST if response.duration_ms < SLOW_SECONDS * 1000 else Lane.SLOW
        endpoint.filter(~Q(lane=lane) | Q(failing_since__isnull=False)).update(lane=lane, failing_since=None)
        return
    endpoint.filter(Q(lane=Lane.FAST) | Q(failing_since__isnull=True)).update(
        lane=Lane.SLOW, failing_since=Coalesce(F("failing_since"), Now())
    )
    enabled = endpoint.filter(kind=EndpointKind.REGISTERED, status=EndpointStatus.ENABLED)
    if response.status_code == GONE:
        endpoints.disable_endpoints(enabled, reason=DisabledReason.GONE)
    else:
        limit = Now() - timedelta(days=DISABLE_AFTER_DAYS)
        endpoints.disable_endpoints(enabled.filter(failing_since__lt=limit), reason=DisabledReason.FAILING)
