"""Failures of payments, refunds and sagas: the meaning of the code in the reader's language, the code, and the text
that the channel or the engine gave."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from gateway.failure_codes import FAILURE_LABELS

# Codes of the engine and of steps that no payment or refund of the API has.
SAGA_FAILURE_LABELS: Mapping[str, Promise] = {
    "cancel_requested": _("Cancellation was requested."),
    "closed_meanwhile": _("The payment was closed meanwhile."),
    "compensated_by_staff": _("Staff of the platform have rolled it back."),
    "paid_meanwhile": _("The customer has paid meanwhile."),
    "signal_timed_out": _("A signal did not arrive in time."),
}


def show_failure(code: str, message: str) -> SafeString:
    label = FAILURE_LABELS.get(code) or SAGA_FAILURE_LABELS.get(code)
    shown = format_html("{} <samp>{}</samp>", label, code) if label else format_html("<samp>{}</samp>", code)
    return format_html("{} · <samp>{}</samp>", shown, message) if message else shown
