"""The channel updates that arrived by webhook."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from common.admin_labels import label_of
from gateway.models import UpdateEffect

TONES = {
    UpdateEffect.DISPUTED.value: Tone.DANGER,
    UpdateEffect.NEEDS_REVIEW.value: Tone.DANGER,
    UpdateEffect.LATE_PAYMENT.value: Tone.WARNING,
}

# Nothing changed here, or a saga was only woken.
WITHOUT_EFFECT = (UpdateEffect.NOTHING_NEW.value, UpdateEffect.SAGA_WOKEN.value)


@register_source
def channel_webhooks(records: PaymentRecords) -> Iterator[TimelineEntry]:
    for event in records.channel_events:
        yield TimelineEntry(
            event.received_at,
            "webhook",
            _("Channel webhook"),
            _("Channel update received"),
            TONES.get(event.effect, Tone.INFO),
            name=event.type,
            facts=[
                EntryFact(_("channel"), event.channel, is_code=True),
                EntryFact(_("effect"), str(label_of(UpdateEffect, event.effect))),
            ],
            url=reverse("admin:gateway_channelevent_change", args=[event.id]),
            detail=event.payload,
            is_technical=event.effect in WITHOUT_EFFECT,
        )
