"""Staff charge to the merchant what a channel took beyond what the payment holds (ADR 49)."""

from django.utils.translation import gettext as _

from common.errors import OperationRefused
from gateway import selectors, state_machine
from gateway.models import Payment
from gateway.services.payment_reviews import (
    PaymentChange,
    describe_payment,
    finish_review,
    lock_payment_by_number,
)


def charge_payment_suspense(*, payment_no: str, actor: str, reason: str) -> PaymentChange:
    """Charges everything that is in suspense of a payment, and resolves the reviews about it.

    Runs in the caller's transaction, which writes the audit log. Raises `NotFound` and `OperationRefused`.
    """
    payment = lock_payment_by_number(payment_no)
    before = describe_payment(payment)
    require_suspense(payment)
    state_machine.charge_suspense(payment=payment, actor=actor, reason=reason)
    return finish_review(payment, before)


def require_suspense(payment: Payment) -> None:
    """Raises `OperationRefused`."""
    if not selectors.has_suspense(payment):
        raise OperationRefused(_("%(no)s has nothing in suspense.") % {"no": payment.payment_no})
