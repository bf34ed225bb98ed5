"""The completion of payments that their customer has approved (`simulator_approval`). The bank charges or authorizes
them, as their capture method says."""

from django.db import transaction
from django.db.models import Q

from channels.base import (
    CompletePayment,
    Declined,
    NotFoundAtChannel,
    PaymentResult,
    PaymentState,
    Reported,
)
from channels.simulator import ledger
from channels.simulator.bank import lock_payment
from channels.simulator.models import SimulatedPayment
from channels.simulator.router import ALIAS


def complete_payment(request: CompletePayment) -> PaymentResult:
    """Completes the payment once: for the same key, reports it as it now is; another key is declined."""
    with transaction.atomic(using=ALIAS):
        payment = lock_payment(Q(pk=request.payment.reference))
        if payment is None:
            return NotFoundAtChannel()
        requested = (request.amount_minor, request.currency, request.manual_capture)
        if requested != (payment.amount, payment.currency, payment.manual_capture):
            return Declined("completion_mismatch", "The customer has approved something else.")
        if payment.complete_key != request.key:
            if payment.state != PaymentState.APPROVED:
                return Declined("not_completable", f"The payment is {payment.state}: nothing is approved.")
            payment.complete_key = request.key
            payment.save(update_fields=["complete_key"])
            ledger.execute_payment(payment)
        return _build_result(payment)


def _build_result(payment: SimulatedPayment) -> PaymentResult:
    if payment.state == PaymentState.DECLINED:
        return Declined(payment.failure_code, payment.failure_message)
    return Reported(ledger.to_channel_payment(payment))
