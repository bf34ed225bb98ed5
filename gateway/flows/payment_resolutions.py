"""The resolutions with which staff can close a saga of a payment.

A wrong resolution stays repairable: money that arrives for a payment that was closed is a late payment, and the channel
is still polled for a payment that was not closed.
"""

import uuid

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway import selectors, state_machine
from gateway.flows.data import PaymentCaptureData
from gateway.flows.received_payments import (
    receive_duplicate_payment,
    receive_partial_capture,
    receive_payment,
)
from gateway.models import Payment, PaymentAttempt, PaymentStatus, ReviewCode
from gateway.review_reasons import ReviewMessage, ReviewReason
from sagas.definitions import Context, Resolution
from sagas.outcomes import StepFailed


def _watch_payment(context: Context) -> None:
    payment, earlier_attempt = _lock_payment_and_attempt(context)
    _fail_capture(context)
    if earlier_attempt is None and (
        state_machine.schedule_payment_query(payment=payment) or payment.status == PaymentStatus.SUCCEEDED
    ):
        return
    reference = earlier_attempt.reference if earlier_attempt else payment.reference
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.NO_OUTCOME,
        subject=reference,
        reason=ReviewReason(ReviewMessage.UNKNOWN_FUNDS, {"reference": reference}),
    )


def _close_unpaid(context: Context) -> None:
    payment, earlier_attempt = _lock_payment_and_attempt(context)
    if earlier_attempt is not None:
        return
    if payment.status == PaymentStatus.SUCCEEDED:
        raise StepFailed("paid", _("%(no)s is paid: refund it instead.") % {"no": payment.payment_no})
    if payment.is_partly_captured:
        text = _("%(no)s is captured in part: choose another resolution, then cancel the payment.")
        raise StepFailed("partly_captured", text % {"no": payment.payment_no})
    _fail_capture(context)
    state_machine.close_unpaid_payment(
        payment=payment, status=PaymentStatus.FAILED, code="resolved_by_staff", message="closed by staff"
    )


def _record_as_paid(context: Context) -> None:
    payment, earlier_attempt = _lock_payment_and_attempt(context)
    amount_minor = payment.captured_minor or payment.amount_minor
    if "capture_id" in context.data:
        _record_capture(payment, PaymentCaptureData.read(context.data))
    elif earlier_attempt is None:
        receive_payment(payment=payment, captured_minor=amount_minor)
    else:
        receive_duplicate_payment(
            payment=payment,
            attempt=earlier_attempt,
            captured_minor=amount_minor,
            channel_trade_no=earlier_attempt.channel_trade_no,
        )


def _record_capture(payment: Payment, data: PaymentCaptureData) -> None:
    if data.is_final:
        receive_payment(payment=payment, captured_minor=data.captured_after_minor)
    else:
        receive_partial_capture(payment=payment, captured_minor=data.captured_after_minor)
    state_machine.mark_capture_succeeded(capture_id=data.capture_id)


def _fail_capture(context: Context) -> None:
    """Marks the capture of a payment.capture as failed. If the channel captured anyway, a later update records it."""
    if "capture_id" in context.data:
        state_machine.mark_capture_failed(
            capture_id=PaymentCaptureData.read(context.data).capture_id,
            code="resolved_by_staff",
            message="closed by staff",
        )


def _lock_payment_and_attempt(context: Context) -> tuple[Payment, PaymentAttempt | None]:
    """Locks the payment. The attempt is None unless the saga is about an earlier one."""
    payment = selectors.lock_payment(uuid.UUID(context.data["payment_id"]))
    reference = context.data.get("reference") or payment.reference
    return payment, selectors.find_earlier_attempt(payment, reference)


PAYMENT_RESOLUTIONS = (
    Resolution(
        "watch",
        gettext_lazy("Not known: the payment stays as it is, and the channel is polled"),
        _watch_payment,
    ),
    Resolution(
        "unpaid", gettext_lazy("Not paid: the payment fails and its order is cancelled"), _close_unpaid
    ),
    Resolution(
        "paid",
        gettext_lazy("Paid, according to the channel's dashboard: the payment succeeds"),
        _record_as_paid,
    ),
)
