"""The resolutions with which staff can close a saga of a refund. When the channel reports another outcome later, the
refund is corrected like any settled refund."""

import uuid

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway import selectors, state_machine
from gateway.models import Payment, Refund, RefundStatus, ReviewCode
from gateway.review_reasons import ReviewMessage, ReviewReason
from sagas.definitions import Context, Resolution
from sagas.outcomes import StepFailed


def _watch_refund(context: Context) -> None:
    payment, refund = _lock_payment_and_refund(context)
    if refund is None:
        _review_late_payment(context, payment)
    else:
        state_machine.schedule_refund_query(refund=refund)


def _mark_refunded(context: Context) -> None:
    _payment, refund = _lock_payment_and_refund(context)
    if refund is None:
        raise StepFailed("no_refund", _("There is no refund yet: retry the saga."))
    moved = state_machine.mark_refund_succeeded(refund=refund, channel_refund_no=refund.channel_refund_no)
    if not moved and refund.status != RefundStatus.SUCCEEDED:
        raise _build_settled_error(refund)


def _mark_not_refunded(context: Context) -> None:
    payment, refund = _lock_payment_and_refund(context)
    if refund is None:
        _review_late_payment(context, payment)
        return
    moved = state_machine.mark_refund_failed(
        refund=refund, code="resolved_by_staff", message="closed by staff"
    )
    if not moved and refund.status != RefundStatus.FAILED:
        raise _build_settled_error(refund)


def _review_late_payment(context: Context, payment: Payment) -> None:
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.REFUND_FAILED,
        subject=context.data.get("refund_no", ""),
        reason=ReviewReason(ReviewMessage.LATE_PAYMENT_NOT_REFUNDED),
    )


def _build_settled_error(refund: Refund) -> StepFailed:
    values = {"no": refund.refund_no, "status": refund.get_status_display()}
    return StepFailed("settled", _("%(no)s has ended already: %(status)s.") % values)


def _lock_payment_and_refund(context: Context) -> tuple[Payment, Refund | None]:
    """Locks the payment and the refund. The refund of a late payment is None until a worker has run its first step."""
    payment = selectors.lock_payment(uuid.UUID(context.data["payment_id"]))
    refund = Refund.objects.select_for_update().filter(id=context.saga_id).first()
    if refund is not None:
        refund.payment = payment
    return payment, refund


REFUND_RESOLUTIONS = (
    Resolution(
        "watch",
        gettext_lazy("Not known: the amount stays reserved, and the channel is polled"),
        _watch_refund,
    ),
    Resolution("refunded", gettext_lazy("Refunded: the channel has refunded the money"), _mark_refunded),
    Resolution(
        "not_refunded",
        gettext_lazy("Not refunded: the refund fails, and the amount can be refunded again"),
        _mark_not_refunded,
    ),
)
