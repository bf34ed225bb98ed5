"""The webhooks to the merchant: every delivery attempt with the response."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.records import ROWS_PER_SOURCE, PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from webhooks.models import AttemptOutcome, WebhookAttempt

TONES = {
    AttemptOutcome.IN_FLIGHT: Tone.INFO,
    AttemptOutcome.SUCCESS: Tone.SUCCESS,
    AttemptOutcome.ABANDONED: Tone.WARNING,
}


@register_source
def deliveries(records: PaymentRecords) -> Iterator[TimelineEntry]:
    by_id = {delivery.id: delivery for delivery in records.deliveries}
    attempts = WebhookAttempt.objects.filter(delivery_id__in=list(by_id))
    for attempt in attempts.order_by("-id")[:ROWS_PER_SOURCE]:
        delivery = by_id[attempt.delivery_id]
        facts = [
            EntryFact(_("endpoint"), attempt.url, is_code=True),
            EntryFact(_("delivery"), delivery.get_status_display()),
        ]
        if attempt.status_code is not None:
            facts.append(EntryFact(_("HTTP status"), str(attempt.status_code)))
        if attempt.error:
            facts.append(EntryFact(_("error"), attempt.error, is_code=True))
        yield TimelineEntry(
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
