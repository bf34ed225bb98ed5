"""Sagas that run on a payment: a second operation has to wait for the first one."""

from collections.abc import Sequence

from gateway.errors import OperationInProgress
from gateway.models import Payment
from sagas import selectors

ALL_OPERATIONS = ("payment.create", "payment.retry", "payment.cancel", "payment.capture", "payment.complete")


def refuse_second_operation(payment: Payment) -> None:
    """Raises `OperationInProgress` while a cancellation, capture or completion of the payment is running."""
    operation = find_running_operation(payment, ("payment.cancel", "payment.capture", "payment.complete"))
    if operation is not None:
        raise OperationInProgress({"payment_no": payment.payment_no, "operation": operation})


def find_running_operation(payment: Payment, definitions: Sequence[str] = ALL_OPERATIONS) -> str | None:
    for definition in definitions:
        if selectors.has_active_saga(definition=definition, business_id=payment.payment_no):
            return definition
    return None
