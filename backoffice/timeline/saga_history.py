"""The attempts of the saga steps. Staff actions on sagas come from the audit log."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.renderers.saga_labels import outcome_tone
from backoffice.timeline.records import ROWS_PER_SOURCE, PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from sagas.labels import outcome_label
from sagas.models import SagaEvent


@register_source
def saga_history(records: PaymentRecords) -> Iterator[TimelineEntry]:
    sagas = {saga.id: saga for saga in records.sagas}
    attempts = SagaEvent.objects.filter(saga_id__in=records.saga_ids, kind=SagaEvent.Kind.ATTEMPT)
    for event in attempts.order_by("-id")[:ROWS_PER_SOURCE]:
        saga = sagas[event.saga_id]
        tone = Tone(outcome_tone(event.outcome))
        yield TimelineEntry(
            event.created_at,
            "account_tree",
            _("Saga"),
            outcome_label(event.outcome),
            tone,
            name=event.step_name,
            facts=[
                EntryFact(_("saga"), saga.definition, is_code=True),
                EntryFact(_("direction"), event.get_direction_display()),
            ],
            url=reverse("admin:sagas_sagainstance_change", args=[saga.id]),
            duration_ms=event.duration_ms,
            detail=event.detail or None,
            is_technical=tone not in (Tone.WARNING, Tone.DANGER),
        )
