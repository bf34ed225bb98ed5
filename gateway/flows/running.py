"""Sagas that run on a payment: a second operation has to wait for the first one."""

from collections.abc import Sequence

from gateway.errors import OperationInProgress
from gateway.models import Payment
from sagas import selectors

# Those that change what an existing payment holds.
_EXCLUSIVE_OPERATIONS = (
    "payment.cancel",
    "payment.capture",
    "payment.complete",
    "payment.increment_authorization",
)
ALL_OPERATIONS = ("payment.create", "payment.retry", *_EXCLUSIVE_OPERATIONS)


def refuse_second_operation(payment: Payment) -> None:
    """Raises `OperationInProgress` while one of the exclusive operations of the payment is running."""
    operation = find_running_operation(payment, _EXCLUSIVE_OPERATIONS)
    if operation is not None:
        raise OperationInProgress({"payment_no": payment.payment_no, "operation": operation})


def find_running_operation(payment: Payment, definitions: Sequence[str] = ALL_OPERATIONS) -> str | None:
    for definition in definitions:
        if selectors.has_active_saga(definition=definition, business_id=payment.payment_no):
            return definition
    return None
