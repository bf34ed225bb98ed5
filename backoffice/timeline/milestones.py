"""The dates of the payment itself: created, paid and closed."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from common.admin import money_text


@register_source
def milestones(records: PaymentRecords) -> Iterator[TimelineEntry]:
    payment = records.payment
    label = _("Payment")
    amount = EntryFact(_("amount"), money_text(payment.amount_minor, payment.currency))
    yield TimelineEntry(
        payment.created_at, "add_circle", label, _("Payment created"), Tone.INFO, facts=[amount]
    )
    if payment.paid_at:
        captured = EntryFact(_("captured"), money_text(payment.captured_minor, payment.currency))
        yield TimelineEntry(payment.paid_at, "paid", label, _("Payment paid"), Tone.SUCCESS, facts=[captured])
    if payment.closed_at and payment.closed_at != payment.paid_at:
        yield TimelineEntry(
            payment.closed_at,
            "block",
            label,
            _("Payment closed: %(status)s") % {"status": payment.get_status_display()},
            Tone.WARNING,
        )
