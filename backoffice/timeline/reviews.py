"""The reviews of the payment, opened and resolved, and its disputes."""

from collections.abc import Iterator

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.timeline.records import ROWS_PER_SOURCE, PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from common.admin import money_text
from gateway.admin.review_reasons import show_review_reason
from gateway.models import Dispute, DisputeStatus, PaymentReview, ReviewCode

DISPUTE_TONES = {DisputeStatus.WON: Tone.SUCCESS, DisputeStatus.CLOSED: Tone.NEUTRAL}


@register_source
def reviews(records: PaymentRecords) -> Iterator[TimelineEntry]:
    found = list(
        PaymentReview.objects.filter(payment=records.payment).order_by("-opened_at")[:ROWS_PER_SOURCE]
    )
    # Every dispute has a review: without one there is nothing to look up.
    if any(review.code == ReviewCode.DISPUTE for review in found):
        yield from _disputes(records)
    for review in found:
        facts = [EntryFact(_("reason"), show_review_reason(review))]
        yield TimelineEntry(
            review.opened_at,
            "flag",
            _("Needs review"),
            review.get_code_display(),
            Tone.DANGER,
            name=review.code,
            facts=facts,
        )
        if review.resolved_at:
            facts = [
                EntryFact(_("reason"), review.resolution),
                EntryFact(_("by"), review.resolved_by, is_code=True),
            ]
            title = _("Review resolved: %(reason)s") % {"reason": review.get_code_display()}
            yield TimelineEntry(
                review.resolved_at, "flag", _("Needs review"), title, Tone.SUCCESS, facts=facts
            )


def _disputes(records: PaymentRecords) -> Iterator[TimelineEntry]:
    for dispute in Dispute.objects.filter(payment=records.payment).order_by("-created_at")[:ROWS_PER_SOURCE]:
        url = reverse("admin:gateway_dispute_change", args=[dispute.id])
        facts = [
            EntryFact(_("number"), dispute.dispute_no, is_code=True),
            EntryFact(_("amount"), money_text(dispute.amount_minor, dispute.currency)),
            EntryFact(_("reason"), dispute.get_reason_display()),
        ]
        yield TimelineEntry(
            dispute.created_at,
            "gavel",
            _("Dispute"),
            _("Disputed by the customer"),
            Tone.DANGER,
            facts=facts,
            url=url,
        )
        if dispute.closed_at:
            title = _("Dispute: %(status)s") % {"status": dispute.get_status_display()}
            tone = DISPUTE_TONES.get(DisputeStatus(dispute.status), Tone.DANGER)
            yield TimelineEntry(
                dispute.closed_at, "gavel", _("Dispute"), title, tone, facts=facts[:2], url=url
            )
