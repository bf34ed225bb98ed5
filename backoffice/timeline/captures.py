"""The captures of an authorized payment, and the increments of its authorization."""

import datetime as dt
from collections.abc import Iterator

from django.utils.translation import gettext as _

from backoffice.timeline.records import ROWS_PER_SOURCE, PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from common.admin import money_text
from gateway.failure_codes import describe_failure
from gateway.models import AuthorizationIncrement, Capture, CaptureMethod

TONES = {"succeeded": Tone.SUCCESS, "failed": Tone.DANGER}


@register_source
def captures(records: PaymentRecords) -> Iterator[TimelineEntry]:
    if not _was_authorized(records):
        return
    currency = records.payment.currency
    for capture in Capture.objects.filter(payment=records.payment).order_by("-number")[:ROWS_PER_SOURCE]:
        facts = [
            EntryFact(_("amount"), money_text(capture.amount_minor, currency)),
            *_describe_failure(capture),
        ]
        if capture.is_final:
            facts.append(EntryFact(_("last capture"), _("yes")))
        if capture.is_made_at_channel:
            facts.append(EntryFact(_("made at the channel"), _("yes")))
        title = _("Capture %(number)d: %(status)s")
        values = {"number": capture.number, "status": capture.get_status_display()}
        yield TimelineEntry(
            capture.settled_at or capture.created_at,
            "payments",
            _("Capture"),
            title % values,
            TONES.get(capture.status, Tone.INFO),
            facts=facts,
            duration_ms=_count_ms(capture.created_at, capture.settled_at),
        )


@register_source
def authorization_increments(records: PaymentRecords) -> Iterator[TimelineEntry]:
    if not _was_authorized(records):
        return
    currency = records.payment.currency
    increments = AuthorizationIncrement.objects.filter(payment=records.payment)
    for increment in increments.order_by("-number")[:ROWS_PER_SOURCE]:
        title = _("Authorization increment %(number)d: %(status)s")
        values = {"number": increment.number, "status": increment.get_status_display()}
        yield TimelineEntry(
            increment.settled_at or increment.created_at,
            "expand_less",
            _("Authorization increment"),
            title % values,
            TONES.get(increment.status, Tone.INFO),
            facts=[
                EntryFact(_("before"), money_text(increment.previous_minor, currency)),
                EntryFact(_("amount"), money_text(increment.amount_minor, currency)),
                *_describe_failure(increment),
            ],
            duration_ms=_count_ms(increment.created_at, increment.settled_at),
        )


def _was_authorized(records: PaymentRecords) -> bool:
    """Without a query: a payment that is charged at once has neither captures nor increments."""
    is_manual = records.payment.capture_method == CaptureMethod.MANUAL
    return is_manual or any(saga.definition == "payment.capture" for saga in records.sagas)


def _describe_failure(row: Capture | AuthorizationIncrement) -> list[EntryFact]:
    if not row.failure_code:
        return []
    return [EntryFact(_("failure"), describe_failure(row.failure_code, row.failure_message))]


def _count_ms(created_at: dt.datetime, settled_at: dt.datetime | None) -> int | None:
    return round((settled_at - created_at).total_seconds() * 1000) if settled_at else None
