"""The webhooks to the merchant: every delivery attempt with the response."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.registry import EACH, Entry, Fact, Subject, Tone, source
from events.models import OutboxEvent
from webhooks.models import AttemptOutcome, WebhookAttempt, WebhookDelivery

TONES = {
    AttemptOutcome.IN_FLIGHT: Tone.INFO,
    AttemptOutcome.SUCCESS: Tone.SUCCESS,
    AttemptOutcome.ABANDONED: Tone.WARNING,
}


@source
def deliveries(subject: Subject) -> Iterator[Entry]:
    """Three queries by three indexes, each of at most `EACH` rows. A join might make the planner start at the wrong
    table."""
    events = OutboxEvent.objects.filter(
        ordering_key__in=subject.event_keys, merchant_id=subject.payment.merchant_id
    )
    event_ids = list(events.order_by("-id").values_list("id", flat=True)[:EACH])
    found_deliveries = WebhookDelivery.objects.filter(event_id__in=event_ids).select_related("event")
    by_id = {delivery.id: delivery for delivery in found_deliveries.order_by("-id")[:EACH]}
    attempts = WebhookAttempt.objects.filter(delivery_id__in=list(by_id))
    for attempt in attempts.order_by("-id")[:EACH]:
        delivery = by_id[attempt.delivery_id]
        facts = [
            Fact(_("endpoint"), attempt.url, is_code=True),
            Fact(_("delivery"), delivery.get_status_display()),
        ]
        if attempt.status_code is not None:
            facts.append(Fact(_("HTTP status"), str(attempt.status_code)))
        if attempt.error:
            facts.append(Fact(_("error"), attempt.error, is_code=True))
        yield Entry(
            attempt.started_at,
            "send",
            _("Webhook to the merchant"),
            attempt.get_outcome_display(),
            TONES.get(AttemptOutcome(attempt.outcome), Tone.DANGER),
            name=delivery.event.type,
            facts=facts,
            url=reverse("admin:webhooks_webhookdelivery_change", args=[attempt.delivery_id]),
            duration_ms=attempt.duration_ms,
        )
