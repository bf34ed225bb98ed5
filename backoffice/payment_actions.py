"""What staff may do to a payment besides refunding it, each on a page of its own with a reason."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.approvals import late_payments as late_money_approvals
from backoffice.approvals.models import Approval
from backoffice.operation_pages import ReasonForm, Requested, StaffOperation
from backoffice.services import late_payments, payment_operations
from common.admin_forms import amount_field
from common.errors import ApiError, OperationRefused
from common.money import EXPONENTS
from gateway.errors import PaymentNotCapturable
from gateway.models import Payment, PaymentStatus
from gateway.services.payment_reviews import list_open_reviews
from staff.roles import Permission


class CaptureForm(ReasonForm):
    def __init__(self, data: Any = None, *, initial: dict[str, Any]) -> None:
        """Of the payment, `initial` has the currency and how much is held."""
        super().__init__(data, initial=initial)
        self.fields["amount"] = amount_field(
            initial["currency"], initial["held_minor"], help_text=_("What is not captured is let go.")
        )
        self.order_fields(["amount", "reason"])


class ResolveForm(ReasonForm):
    review = forms.ChoiceField(
        label=gettext_lazy("Review"), required=False, help_text=gettext_lazy("Each is resolved by itself.")
    )

    def __init__(self, data: Any = None, *, initial: dict[str, Any]) -> None:
        """Of the payment, `initial` has the open reviews: id and text."""
        super().__init__(data, initial=initial)
        self.fields["review"] = forms.ChoiceField(
            label=gettext_lazy("Review"),
            required=False,
            choices=[("", gettext_lazy("All open reviews")), *initial.get("open_reviews", [])],
            help_text=gettext_lazy("Each is resolved by itself."),
        )
        self.order_fields(["review", "reason"])


def _open_reviews(payment: Payment) -> dict[str, Any]:
    reviews = list_open_reviews(payment)
    return {"open_reviews": [(str(review.id), f"{review.code}: {review.text}"[:200]) for review in reviews]}


def _ask(actor: User, payment: Payment, given: dict[str, Any]) -> None:
    _told(
        lambda: payment_operations.sync_payment(
            payment=payment, actor=actor.get_username(), reason=given["reason"]
        )
    )


def _capture(actor: User, payment: Payment, given: dict[str, Any]) -> None:
    amount_minor = int(given["amount"].scaleb(EXPONENTS[payment.currency]))
    _told(
        lambda: payment_operations.capture_payment(
            payment_id=payment.pk,
            amount_minor=amount_minor,
            actor=actor.get_username(),
            reason=given["reason"],
        )
    )


def _cancel(actor: User, payment: Payment, given: dict[str, Any]) -> None:
    _told(
        lambda: payment_operations.cancel_payment(
            payment_id=payment.pk, actor=actor.get_username(), reason=given["reason"]
        )
    )


def _late(operation: late_payments.Operation) -> Callable[[User, Payment, dict[str, Any]], Requested | None]:
    def perform(actor: User, payment: Payment, given: dict[str, Any]) -> Requested | None:
        answer = _told(
            lambda: late_money_approvals.operate_or_request_approval(
                operation=operation,
                payment_no=payment.payment_no,
                actor=actor.get_username(),
                reason=given["reason"],
                reviews=[given["review"]] if given.get("review") else [],
            )
        )
        if not isinstance(answer, Approval):
            return None
        told = {"operation": operation.label, "state": answer.get_state_display()}
        return Requested(_("%(operation)s: %(state)s.") % told)

    return perform


def _told(act: Callable[[], object]) -> object:
    try:
        return act()
    except ApiError as refused:
        raise OperationRefused(str(refused.text)) from refused


def _may_be_captured(payment: Payment) -> str:
    return "" if payment.status == PaymentStatus.AUTHORIZED else str(PaymentNotCapturable.text)


def _may_be_cancelled(payment: Payment) -> str:
    return "" if payment.is_open else _("Only an open payment can be cancelled: a paid one is refunded.")


def _waits_for_a_person(payment: Payment) -> str:
    return "" if payment.needs_attention else _("It needs nobody's attention.")


def _all_of_it(payment: Payment) -> dict[str, Any]:
    return {
        "amount": Decimal(payment.amount_minor).scaleb(-EXPONENTS[payment.currency]),
        "currency": payment.currency,
        "held_minor": payment.amount_minor,
    }


PAYMENT_OPERATIONS = (
    StaffOperation(
        "sync",
        gettext_lazy("Ask the channel"),
        gettext_lazy("What the channel says of it is taken over. Nothing is charged or refunded."),
        Permission.SYNC,
        _ask,
    ),
    StaffOperation(
        "capture",
        gettext_lazy("Capture"),
        gettext_lazy("Takes the money that is held, all of it or a part."),
        Permission.CAPTURE,
        _capture,
        CaptureForm,
        why_not=_may_be_captured,
        initial=_all_of_it,
    ),
    StaffOperation(
        "cancel",
        gettext_lazy("Cancel the payment"),
        gettext_lazy("Ends it at the channel, unless it has been paid meanwhile."),
        Permission.CANCEL,
        _cancel,
        why_not=_may_be_cancelled,
    ),
    StaffOperation(
        "give_back",
        late_payments.Operation.GIVE_BACK.label,
        gettext_lazy("Refunds what came after its end, and what attempts took that had been given up."),
        Permission.REFUND,
        _late(late_payments.Operation.GIVE_BACK),
        why_not=_waits_for_a_person,
    ),
    StaffOperation(
        "resolve",
        late_payments.Operation.RESOLVE.label,
        gettext_lazy("A person has seen to it. No money is moved."),
        Permission.RESOLVE,
        _late(late_payments.Operation.RESOLVE),
        ResolveForm,
        initial=_open_reviews,
        why_not=_waits_for_a_person,
    ),
)
