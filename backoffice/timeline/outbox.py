"""The events that the platform published about the payment."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import TimelineEntry, Tone, register_source


@register_source
def outbox(records: PaymentRecords) -> Iterator[TimelineEntry]:
    for event in records.events:
        is_published = event.published_at is not None
        yield TimelineEntry(
            event.created_at,
            "campaign",
            _("Event"),
            _("Event published") if is_published else _("Event not published yet"),
            Tone.NEUTRAL if is_published else Tone.WARNING,
            name=event.type,
            url=reverse("admin:events_outboxevent_change", args=[event.id]),
            detail=event.data,
            is_technical=is_published,
        )
