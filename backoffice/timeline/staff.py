"""The staff actions on the payment, its refunds and its sagas."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from audit.action_types import StaffActionType
from audit.models import StaffAction
from backoffice.timeline.records import ROWS_PER_SOURCE, PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from common.admin_labels import label_of


@register_source
def staff(records: PaymentRecords) -> Iterator[TimelineEntry]:
    ids = [*records.references, str(records.payment.id), *(str(saga_id) for saga_id in records.saga_ids)]
    actions = StaffAction.objects.filter(object_id__in=ids).order_by("-id")[:ROWS_PER_SOURCE]
    for action in actions:
        yield TimelineEntry(
            action.created_at,
            "person",
            _("Staff action"),
            label_of(StaffActionType, action.action),
            Tone.WARNING,
            facts=[
                EntryFact(_("by"), action.actor, is_code=True),
                EntryFact(_("reason"), action.reason, is_code=True),
            ],
            url=reverse("admin:audit_staffaction_change", args=[action.id]),
            detail={"before": action.before, "after": action.after},
        )
