"""The messages that staff read after an action on a payment.

The tone follows the outcome: done, refused, or not known yet.
"""

from django.contrib import messages
from django.utils.translation import gettext as _

from backoffice.actions.declaration import Performed
from common.admin import money_text
from gateway import selectors
from gateway.failure_codes import describe_failure
from gateway.models import Payment, PaymentStatus, Refund, RefundStatus
from sagas.models import SagaStatus
from sagas.state import SagaState
from sagas.stop_reasons import describe_stop_reason


def describe_refund(refund: Refund) -> Performed:
    amount = money_text(refund.amount_minor, refund.currency)
    if refund.status == RefundStatus.SUCCEEDED:
        return Performed(_("%(amount)s refunded.") % {"amount": amount})
    if refund.status == RefundStatus.FAILED:
        reason = describe_failure(refund.failure_code, refund.failure_message)
        text = _("The refund of %(amount)s failed, nothing was refunded: %(reason)s")
        return Performed(text % {"amount": amount, "reason": reason}, messages.ERROR)
    text = _("The refund of %(amount)s is not finished. The channel is queried until its outcome is known.")
    return Performed(text % {"amount": amount}, messages.WARNING)


def describe_capture(payment: Payment, saga: SagaState) -> Performed:
    if saga.status == SagaStatus.COMPLETED:
        amount = money_text(payment.captured_minor, payment.currency)
        return Performed(_("Captured: %(amount)s.") % {"amount": amount})
    return _describe_unfinished(_("Nothing was captured: %(reason)s"), saga)


def describe_cancel(payment: Payment, saga: SagaState | None) -> Performed:
    """`saga` is None while the payment is still being created: its own saga cancels it."""
    if payment.status == PaymentStatus.CANCELLED:
        return Performed(_("Payment cancelled."))
    if selectors.is_rest_released(payment):
        return Performed(_("The rest of the authorization was released."))
    if payment.captured_minor:
        return Performed(_("The customer has paid meanwhile. Nothing was cancelled."), messages.WARNING)
    if saga is None:
        text = _("Cancellation requested. This page shows the outcome.")
        return Performed(text, messages.WARNING)
    return _describe_unfinished(_("The payment was not cancelled: %(reason)s"), saga)


def describe_query(payment: Payment) -> Performed:
    text = _("The channel was queried. Status of the payment: %(status)s.")
    return Performed(text % {"status": payment.get_status_display()}, messages.INFO)


def _describe_unfinished(failed_text: str, saga: SagaState) -> Performed:
    if saga.attention_reason:
        text = _("The outcome is unknown and needs review: %(reason)s")
        return Performed(text % {"reason": describe_stop_reason(saga.attention_reason)}, messages.ERROR)
    if saga.failure is not None:
        reason = describe_failure(saga.failure.code, saga.failure.message)
        return Performed(failed_text % {"reason": reason}, messages.ERROR)
    text = _("The channel has not answered yet. It is queried until the outcome is known.")
    return Performed(text, messages.WARNING)
