"""What a person may say became of a refund whose saga could not be finished. A channel that says otherwise later
contradicts it like any settled refund, and a person looks again."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway import state_machine
from gateway.models import Payment, Refund, RefundStatus, ReviewCode
from sagas.definitions import Context, Resolution
from sagas.outcomes import StepFailed


def _watch(context: Context) -> None:
    payment, refund = _locked(context)
    if refund is None:
        _review_late_money(context, payment)
    else:
        state_machine.schedule_refund_query(refund=refund)


def _refunded(context: Context) -> None:
    _payment, refund = _locked(context)
    if refund is None:
        raise StepFailed("no_refund", _("Nothing was reserved yet: retry it."))
    moved = state_machine.mark_refund_succeeded(refund=refund, channel_refund_no=refund.channel_refund_no)
    _require(moved or refund.status == RefundStatus.SUCCEEDED, refund)


def _not_refunded(context: Context) -> None:
    payment, refund = _locked(context)
    if refund is None:
        _review_late_money(context, payment)
        return
    moved = state_machine.mark_refund_failed(
        refund=refund, code="resolved_by_staff", message="closed by staff"
    )
    _require(moved or refund.status == RefundStatus.FAILED, refund)


def _review_late_money(context: Context, payment: Payment) -> None:
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.REFUND_FAILED,
        subject=context.data.get("refund_no", ""),
        text="late money was not given back",
    )


def _require(fits: bool, refund: Refund) -> None:
    if not fits:
        told = {"no": refund.refund_no, "status": refund.get_status_display()}
        raise StepFailed("settled", _("%(no)s has ended already: %(status)s.") % told)


def _locked(context: Context) -> tuple[Payment, Refund | None]:
    """There is no refund yet when late money could not even be reserved: a worker does that."""
    payment = Payment.objects.select_for_update().get(id=context.data["payment_id"])
    refund = Refund.objects.select_for_update().filter(id=context.saga_id).first()
    if refund is not None:
        refund.payment = payment
    return payment, refund


REFUND_RESOLUTIONS = (
    Resolution(
        "watch", gettext_lazy("Not known: the amount stays reserved, and the channel is asked"), _watch
    ),
    Resolution("refunded", gettext_lazy("Refunded: the channel has given the money back"), _refunded),
    Resolution(
        "not_refunded", gettext_lazy("Not refunded: it fails, and the amount is free again"), _not_refunded
    ),
)
