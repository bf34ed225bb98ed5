"""The one status that staff read on a payment's page: its label, colour and reason.

It is derived from the payment, its sagas, refunds, reviews and disputes: "Succeeded" alone would hide a refund that
needs review.
"""

from dataclasses import dataclass, replace
from urllib.parse import quote

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.renderers.failures import show_failure
from backoffice.timeline.records import PaymentRecords
from backoffice.timeline.registry import Tone
from common.admin import money_text
from gateway.models import Payment, PaymentStatus, RefundStatus
from gateway.models.dispute import CLOSED_DISPUTE_STATUSES
from gateway.models.refund import OPEN_REFUND_STATUSES
from merchants.models import Environment
from sagas.models import SagaStatus
from sagas.stop_reasons import describe_stop_reason

STATUS_DISPLAY: dict[str, tuple[str, str, str | Promise]] = {
    PaymentStatus.PENDING: ("schedule", "info", gettext_lazy("Pending: waiting for the customer")),
    PaymentStatus.PROCESSING: ("sync", "info", gettext_lazy("Processing at the channel")),
    PaymentStatus.AUTHORIZED: ("lock_clock", "info", gettext_lazy("Authorized: waiting for capture")),
    PaymentStatus.SUCCEEDED: ("check_circle", "success", gettext_lazy("Succeeded")),
    PaymentStatus.FAILED: ("cancel", "danger", gettext_lazy("Failed: nothing was charged")),
    PaymentStatus.CANCELLED: ("do_not_disturb_on", "warning", gettext_lazy("Cancelled: nothing was charged")),
    PaymentStatus.EXPIRED: ("timer_off", "warning", gettext_lazy("Expired: nothing was charged")),
}
# Pages of a payment in the channels' dashboards.
DASHBOARDS = {
    "stripe": {
        Environment.LIVE: "https://dashboard.stripe.com/payments/{number}",
        Environment.TEST: "https://dashboard.stripe.com/test/payments/{number}",
    }
}


@dataclass(frozen=True, slots=True)
class PaymentLabel:
    """`tone` is the colour. `reason` explains a trouble, with texts of programs in <samp>; it is empty when there is
    none, or when the page lists the open reviews."""

    icon: str
    tone: str
    text: str
    reason: str = ""


def label_payment(records: PaymentRecords) -> PaymentLabel:
    payment = records.payment
    trouble = (
        _find_stopped_saga(records)
        or _find_review(payment)
        or _find_dispute(payment)
        or _find_unsuccessful_refund(records)
    )
    if trouble is not None:
        return replace(
            trouble, text=f"{_label_money(payment) or payment.get_status_display()} · {trouble.text}"
        )
    icon, tone, text = STATUS_DISPLAY[payment.status]
    return PaymentLabel(icon, tone, _label_money(payment) or str(text))


def _label_money(payment: Payment) -> str:
    """Returns what became of the money where the status alone does not say it."""
    if payment.status == PaymentStatus.SUCCEEDED and payment.refunded_minor:
        whole = payment.refunded_minor >= payment.captured_minor
        return _("Refunded") if whole else _("Partially refunded")
    if payment.is_partly_captured:
        return _("Partially captured")
    if payment.captured_minor and payment.status != PaymentStatus.SUCCEEDED:
        return _("Closed, with a late payment")
    return ""


def _find_stopped_saga(records: PaymentRecords) -> PaymentLabel | None:
    for saga in records.sagas:
        if saga.needs_attention:
            text = _("%(saga)s needs review") % {"saga": saga.definition}
            reason = format_html("<samp>{}</samp>", describe_stop_reason(saga.attention_reason))
            return PaymentLabel("error", Tone.DANGER, text, reason)
        creates_it = saga.id == records.payment.id
        if creates_it and records.payment.is_open and saga.status == SagaStatus.FAILED:
            text = _("%(saga)s failed") % {"saga": saga.definition}
            return PaymentLabel("error", Tone.DANGER, text, show_failure(saga.error_code, saga.error_message))
    return None


def _find_review(payment: Payment) -> PaymentLabel | None:
    return PaymentLabel("warning", Tone.DANGER, _("needs review")) if payment.needs_attention else None


def _find_dispute(payment: Payment) -> PaymentLabel | None:
    dispute = payment.disputes.exclude(status__in=CLOSED_DISPUTE_STATUSES).order_by("-created_at").first()
    if dispute is None:
        return None
    amount = money_text(dispute.amount_minor, dispute.currency)
    return PaymentLabel("gavel", Tone.DANGER, _("open dispute"), f"{amount} · {dispute.get_reason_display()}")


def _find_unsuccessful_refund(records: PaymentRecords) -> PaymentLabel | None:
    """Of those that failed, only the newest counts: an earlier one has been repeated, or was given up."""
    for refund in records.refunds[:1]:
        if refund.status == RefundStatus.FAILED:
            failure = show_failure(refund.failure_code, refund.failure_message)
            reason = format_html("<samp>{}</samp> · {}", refund.refund_no, failure)
            return PaymentLabel("undo", Tone.WARNING, _("the last refund failed"), reason)
    unfinished = [each for each in records.refunds if each.status in OPEN_REFUND_STATUSES]
    if not unfinished:
        return None
    texts = (f"{money_text(each.amount_minor, each.currency)} · {each.refund_no}" for each in unfinished)
    return PaymentLabel("undo", Tone.INFO, _("a refund is in progress"), ", ".join(texts))


def channel_url(payment: Payment) -> str:
    """Returns the page in the channel's dashboard; empty for the simulator, and before the channel has a number."""
    pattern = DASHBOARDS.get(payment.channel, {}).get(Environment(payment.environment), "")
    if not pattern or payment.sandbox or not payment.channel_trade_no:
        return ""
    return pattern.format(number=quote(payment.channel_trade_no, safe=""))
