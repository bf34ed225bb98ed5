"""Staff actions on payments that need review, each with its audit log entry in one transaction."""

from collections.abc import Collection

from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.errors import OperationRefused
from gateway.models import Payment
from gateway.services.charge_suspense import charge_payment_suspense
from gateway.services.payment_reviews import PaymentChange, resolve_open_reviews
from gateway.services.refund_late_payments import refund_late_payments


class PaymentReviewOperation(models.TextChoices):
    REFUND_LATE_PAYMENT = "give_back", gettext_lazy("Refund late payment")
    CHARGE_SUSPENSE = "charge_suspense", gettext_lazy("Charge suspense to the merchant")
    RESOLVE = "resolve", gettext_lazy("Mark resolved")


def operate(
    *,
    operation: PaymentReviewOperation,
    payment_no: str,
    actor: str,
    reason: str,
    reviews: Collection[str] = (),
    approved_by: str = "",
) -> PaymentChange:
    """Refunds late payments, charges suspense to the merchant, or resolves the open reviews that `reviews` names by id
    or code (empty: all of them).

    Requests no approval: `backoffice.approvals.late_payments` decides whether one person is enough. Raises `NotFound`
    and `OperationRefused`.
    """
    require_actor_and_reason(actor=actor, reason=reason)
    with recording(
        StaffActionType(f"payment.{operation.value}"),
        ObjectType.PAYMENT,
        payment_no,
        actor=actor,
        reason=reason,
    ) as entry:
        if operation is PaymentReviewOperation.REFUND_LATE_PAYMENT:
            done = refund_late_payments(payment_no=payment_no, actor=actor, reason=reason)
        elif operation is PaymentReviewOperation.CHARGE_SUSPENSE:
            done = charge_payment_suspense(payment_no=payment_no, actor=actor, reason=reason)
        else:
            done = resolve_open_reviews(payment_no=payment_no, actor=actor, reason=reason, reviews=reviews)
        entry.before = done.before
        entry.after = {**done.after, **({"approved_by": approved_by} if approved_by else {})}
    return done


def require_actor_and_reason(*, actor: str, reason: str) -> None:
    """Raises `OperationRefused`."""
    if not actor.strip() or not reason.strip():
        raise OperationRefused(_("Give your name and a reason."))


def payments_in_review(*, limit: int) -> QuerySet[Payment]:
    """The payments that need review, oldest first."""
    return Payment.objects.filter(needs_attention=True).order_by("created_at")[:limit]
