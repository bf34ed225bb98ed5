"""What the platform told the world."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.registry import EACH, Entry, Subject, Tone, source
from events.models import OutboxEvent


@source
def outbox(subject: Subject) -> Iterator[Entry]:
    told = OutboxEvent.objects.filter(
        ordering_key__in=subject.event_keys, merchant_id=subject.payment.merchant_id
    ).order_by("-id")[:EACH]
    for event in told:
        published = event.published_at is not None
        yield Entry(
            event.created_at,
            "campaign",
            _("Event"),
            _("Event published") if published else _("Event not published yet"),
            Tone.NEUTRAL if published else Tone.WARNING,
            name=event.type,
            url=reverse("admin:events_outboxevent_change", args=[event.id]),
            detail=event.data,
        )
