"""The status of a payment as label, icon and colour."""

from urllib.parse import quote

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.models import Payment, PaymentStatus
from merchants.models import Environment

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


def status_icon(payment: Payment) -> str:
    return STATUS_DISPLAY[payment.status][0]


def status_tone(payment: Payment) -> str:
    return STATUS_DISPLAY[payment.status][1]


def status_label(payment: Payment) -> str:
    if payment.status == PaymentStatus.SUCCEEDED and payment.refunded_minor:
        whole = payment.refunded_minor >= payment.captured_minor
        return _("Refunded") if whole else _("Partially refunded")
    if payment.captured_minor and payment.status != PaymentStatus.SUCCEEDED:
        return _("Closed, with a late payment")
    return str(STATUS_DISPLAY[payment.status][2])


def channel_url(payment: Payment) -> str:
    """Returns the page in the channel's dashboard; empty for the simulator, and before the channel has a number."""
    pattern = DASHBOARDS.get(payment.channel, {}).get(Environment(payment.environment), "")
    if not pattern or payment.sandbox or not payment.channel_trade_no:
        return ""
    return pattern.format(number=quote(payment.channel_trade_no, safe=""))
