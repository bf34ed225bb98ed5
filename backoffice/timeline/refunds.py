"""The refunds: requested and settled."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from common.admin import money_text
from gateway.failure_codes import describe_failure
from gateway.models import Refund, RefundOrigin, RefundStatus

TONES = {RefundStatus.SUCCEEDED: Tone.SUCCESS, RefundStatus.FAILED: Tone.DANGER}


@register_source
def refunds(records: PaymentRecords) -> Iterator[TimelineEntry]:
    for refund in records.refunds:
        url = reverse("admin:gateway_refund_change", args=[refund.id])
        facts = _facts(refund)
        is_from_channel = refund.origin == RefundOrigin.CHANNEL
        requested = _("Refunded at the channel") if is_from_channel else _("Refund requested")
        yield TimelineEntry(
            refund.created_at, "undo", _("Refund"), requested, Tone.INFO, facts=facts, url=url
        )
        if refund.settled_at:
            tone = TONES.get(RefundStatus(refund.status), Tone.DANGER)
            title = _("Refund: %(status)s") % {"status": refund.get_status_display()}
            yield TimelineEntry(refund.settled_at, "undo", _("Refund"), title, tone, facts=facts[:2], url=url)


def _facts(refund: Refund) -> list[EntryFact]:
    facts = [
        EntryFact(_("number"), refund.refund_no, is_code=True),
        EntryFact(_("amount"), money_text(refund.amount_minor, refund.currency)),
    ]
    if refund.previous_status:
        before = RefundStatus(refund.previous_status).label
        facts.append(EntryFact(_("previous outcome"), str(before)))
    if refund.reason:
        facts.append(EntryFact(_("reason"), refund.reason, is_code=True))
    if refund.failure_code:
        facts.append(EntryFact(_("failure"), describe_failure(refund.failure_code, refund.failure_message)))
    return facts
