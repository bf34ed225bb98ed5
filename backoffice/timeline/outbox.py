"""The events that the platform published about the payment."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.registry import EACH, Entry, Subject, Tone, source
from events.models import OutboxEvent


@source
def outbox(subject: Subject) -> Iterator[Entry]:
    events = OutboxEvent.objects.filter(
        ordering_key__in=subject.event_keys, merchant_id=subject.payment.merchant_id
    ).order_by("-id")[:EACH]
    for event in events:
        is_published = event.published_at is not None
        yield Entry(
            event.created_at,
            "campaign",
            _("Event"),
            _("Event published") if is_published else _("Event not published yet"),
            Tone.NEUTRAL if is_published else Tone.WARNING,
            name=event.type,
            url=reverse("admin:events_outboxevent_change", args=[event.id]),
            detail=event.data,
        )
