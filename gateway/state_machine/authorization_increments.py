"""The state machine of authorization increments. The caller holds the payment's lock."""

import uuid

from django.db.models.functions import Now

from common.transitions import sources_of
from gateway.models import AuthorizationIncrement, IncrementStatus, Payment, PaymentStatus
from gateway.state_machine.events import emit_increment
from gateway.state_machine.transitions import INCREMENT_TRANSITIONS


def begin_increment(*, increment_id: uuid.UUID, payment: Payment, amount_minor: int) -> None:
    """Records the intent to authorize `amount_minor` in all. The database refuses a second one in flight."""
    last = payment.authorization_increments.order_by("-number").values_list("number", flat=True).first()
    AuthorizationIncrement.objects.create(
        id=increment_id,
        payment=payment,
        number=(last or 0) + 1,
        reference=payment.reference,
        previous_minor=payment.authorized_minor,
        amount_minor=amount_minor,
    )


def mark_increment_succeeded(*, increment_id: uuid.UUID, payment: Payment) -> bool:
    """The channel authorizes the larger amount. Also for a failed increment that the channel reports after all."""
    if not _settle(increment_id, IncrementStatus.SUCCEEDED):
        return False
    increment = AuthorizationIncrement.objects.get(id=increment_id)
    added_minor = increment.amount_minor - payment.amount_minor
    raised = Payment.objects.filter(id=payment.id, authorization_increment_minor__lt=added_minor).update(
        authorization_increment_minor=added_minor, updated_at=Now()
    )
    payment.refresh_from_db()
    if raised and payment.status == PaymentStatus.AUTHORIZED:
        emit_increment(payment, increment)
    return True


def mark_increment_failed(*, increment_id: uuid.UUID, code: str, message: str) -> bool:
    return _settle(increment_id, IncrementStatus.FAILED, failure_code=code, failure_message=message)


def _settle(increment_id: uuid.UUID, status: IncrementStatus, **changes: str) -> bool:
    sources = sources_of(INCREMENT_TRANSITIONS, status)
    found = AuthorizationIncrement.objects.filter(id=increment_id, status__in=sources)
    return bool(found.update(status=status, settled_at=Now(), **changes))
