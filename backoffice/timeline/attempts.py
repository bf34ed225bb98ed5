"""The payment attempts, each at one channel."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import EntryFact, TimelineEntry, Tone, register_source
from gateway.failure_codes import describe_failure
from gateway.models import AttemptStatus

TONES = {
    AttemptStatus.SUCCEEDED: Tone.SUCCESS,
    AttemptStatus.DECLINED: Tone.DANGER,
    AttemptStatus.CANCELLED: Tone.WARNING,
}


@register_source
def attempts(records: PaymentRecords) -> Iterator[TimelineEntry]:
    for attempt in records.attempts:
        facts = [EntryFact(_("channel"), attempt.channel, is_code=True)]
        if attempt.channel_trade_no:
            facts.append(EntryFact(_("channel's number"), attempt.channel_trade_no, is_code=True))
        if attempt.failure_code:
            facts.append(
                EntryFact(_("failure"), describe_failure(attempt.failure_code, attempt.failure_message))
            )
        duration = attempt.finished_at - attempt.created_at if attempt.finished_at else None
        yield TimelineEntry(
            attempt.created_at,
            "bolt",
            _("Attempt"),
            _("Attempt %(number)d: %(status)s")
            % {"number": attempt.number, "status": attempt.get_status_display()},
            TONES.get(AttemptStatus(attempt.status), Tone.INFO),
            facts=facts,
            duration_ms=round(duration.total_seconds() * 1000) if duration else None,
        )
