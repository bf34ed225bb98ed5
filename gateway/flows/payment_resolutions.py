"""What a person may say became of a payment whose saga could not be finished.

Whatever is said can turn out wrong and stays repairable: money that arrives for a payment that was closed is late
money, and a payment that was not closed is asked about at its channel.
"""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway import selectors, state_machine
from gateway.flows.late_payments import handle_duplicate_payment
from gateway.flows.received_payments import receive_payment
from gateway.models import Payment, PaymentAttempt, PaymentStatus, ReviewCode
from sagas.definitions import Context, Resolution
from sagas.outcomes import StepFailed


def _watch(context: Context) -> None:
    payment, given_up = _locked(context)
    if given_up is None and (
        state_machine.schedule_payment_query(payment=payment) or payment.status == PaymentStatus.SUCCEEDED
    ):
        return
    reference = given_up.reference if given_up else payment.reference
    state_machine.open_review(
        payment=payment,
        code=ReviewCode.NO_OUTCOME,
        subject=reference,
        text=f"nobody knows what the channel holds for {reference}",
    )


def _unpaid(context: Context) -> None:
    payment, given_up = _locked(context)
    if given_up is not None:
        return
    if payment.status == PaymentStatus.SUCCEEDED:
        raise StepFailed(
            "paid", _("%(no)s is paid: give it back with a refund.") % {"no": payment.payment_no}
        )
    state_machine.close_unpaid_payment(
        payment=payment, status=PaymentStatus.FAILED, code="resolved_by_staff", message="closed by staff"
    )


def _paid(context: Context) -> None:
    payment, given_up = _locked(context)
    # A capture may be of less than the payment; payment.cancel knows the payment's amount alone.
    amount_minor = context.data.get("amount_minor", payment.amount_minor)
    if given_up is None:
        receive_payment(payment=payment, captured_minor=amount_minor)
    else:
        handle_duplicate_payment(
            payment=payment,
            attempt=given_up,
            captured_minor=amount_minor,
            channel_trade_no=given_up.channel_trade_no,
        )


def _locked(context: Context) -> tuple[Payment, PaymentAttempt | None]:
    """The payment, and the attempt that was given up if the saga is about that one."""
    payment = Payment.objects.select_for_update().get(id=context.data["payment_id"])
    return payment, selectors.find_earlier_attempt(
        payment, context.data.get("reference") or payment.reference
    )


PAYMENT_RESOLUTIONS = (
    Resolution(
        "watch", gettext_lazy("Not known: the payment stays as it is, and the channel is asked"), _watch
    ),
    Resolution("unpaid", gettext_lazy("Not paid: the payment fails and its order is cancelled"), _unpaid),
    Resolution("paid", gettext_lazy("Paid, as the channel's own books say: the money counts as ours"), _paid),
)
