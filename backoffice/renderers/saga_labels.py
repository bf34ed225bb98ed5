"""Labels of a saga's state, for the terminal and the admin."""

import datetime as dt

from django.utils.translation import gettext as _

from sagas.inspection import SagaView
from sagas.models import StepStatus
from sagas.stop_reasons import describe_stop_reason


def describe_wait(saga: SagaView) -> str:
    if saga.needs_attention:
        return _("Needs review: %(reason)s") % {"reason": describe_stop_reason(saga.attention_reason)}
    if not saga.is_active:
        return _("Ended")
    if saga.held_by:
        return _("Worker %(worker)s") % {"worker": saga.held_by}
    step = saga.current
    if saga.lease_expires_at is None and step and step.next_retry_at and step.next_retry_at > saga.seen_at:
        return _("Retry of %(step)s in %(span)s") % {
            "step": step.name,
            "span": format_duration(step.next_retry_at - saga.seen_at),
        }
    if saga.lease_expires_at is None and saga.waiting_until and saga.waiting_until > saga.seen_at:
        return _("Signal %(signal)s; times out in %(span)s (%(moment)s UTC)") % {
            "signal": saga.waiting_for,
            "moment": saga.waiting_until.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "span": format_duration(saga.waiting_until - saga.seen_at),
        }
    return _("Due; waiting for a worker")


def describe_progress(saga: SagaView) -> str:
    """Returns how many steps are completed, and the current step: `2/3 ActivatePayment`."""
    done = sum(step.status == StepStatus.COMPLETED for step in saga.steps)
    current = f" {saga.current.name}" if saga.current and (saga.is_active or saga.needs_attention) else ""
    return f"{done}/{len(saga.steps)}{current}"


def format_age(saga: SagaView, moment: dt.datetime) -> str:
    """Returns the distance to the time at which the saga was read: `3 min ago`, `in 5 s`."""
    distance = saga.seen_at - moment
    return (
        f"{format_duration(distance)} ago"
        if distance >= dt.timedelta()
        else f"in {format_duration(-distance)}"
    )


def format_duration(length: dt.timedelta) -> str:
    """Returns the duration in its largest unit: `42 ms`, `1.5 s`, `3 min`, `5 h`, `2 d`."""
    seconds = round(length.total_seconds(), 3)
    if seconds < 1:
        return _("%(number)s ms") % {"number": f"{seconds * 1000:.0f}"}
    if round(seconds, 1) < 60:
        return _("%(number)s s") % {"number": f"{seconds:.1f}".removesuffix(".0")}
    if seconds < 3600:
        return _("%(number)s min") % {"number": f"{max(seconds // 60, 1):.0f}"}
    if seconds < 86400:
        return _("%(number)s h") % {"number": f"{seconds // 3600:.0f}"}
    return _("%(number)s d") % {"number": f"{seconds // 86400:.0f}"}


TONES = {
    "success": "success",
    "failure": "danger",
    "transient": "warning",
    "unknown": "warning",
    "notfound": "info",
    "honoured": "success",
    "undecidable": "danger",
}


def outcome_tone(outcome: str) -> str:
    return TONES.get(outcome, "neutral")


def format_milliseconds(length_ms: int) -> str:
    return format_duration(dt.timedelta(milliseconds=length_ms))
