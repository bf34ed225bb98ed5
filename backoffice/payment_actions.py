"""The admin actions on a payment, and the approvals of its operations."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import Http404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.approval_pages import ApprovalFlow
from backoffice.actions.declaration import (
    AdminAction,
    ApprovalRequested,
    Perform,
    Performed,
    ReasonForm,
)
from backoffice.approvals import decisions, late_payments, refunds
from backoffice.approvals.models import REFUND, Approval
from backoffice.payment_outcomes import describe_cancel, describe_capture, describe_query, describe_refund
from backoffice.refund_form import RefundForm
from backoffice.services import payment_operations
from backoffice.services.late_payments import PaymentReviewOperation
from channels.registry import get_capabilities
from common.admin import money_text
from common.admin_forms import amount_field
from common.errors import UnknownObject
from common.money import EXPONENTS
from gateway.admin.review_reasons import show_review_reason
from gateway.errors import PaymentNotCapturable
from gateway.models import Payment, PaymentStatus, Refund
from gateway.selectors import has_suspense
from gateway.services.payment_reviews import list_open_reviews
from gateway.services.refund_late_payments import get_late_amount_minor
from staff.roles import Permission


class CaptureForm(ReasonForm):
    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        (payment,) = kwargs["rows"]
        # When nothing is held any more, the operation itself refuses, with its reason.
        capturable_minor = payment.capturable_minor or payment.authorized_minor
        held = Decimal(capturable_minor).scaleb(-EXPONENTS[payment.currency])
        kwargs["initial"] = {**kwargs.get("initial", {}), "amount": held}
        super().__init__(data, **kwargs)
        can_repeat = get_capabilities(payment.channel).is_repeated_capture_allowed
        self.fields["amount"] = amount_field(
            payment.currency,
            capturable_minor,
            help_text="" if can_repeat else _("The part that is not captured is released."),
        )
        if can_repeat:
            self.fields["is_final"] = forms.BooleanField(
                label=_("Last capture"),
                required=False,
                initial=True,
                help_text=_("The part that is not captured is released. Otherwise it stays held."),
            )
        self.order_fields(["amount", "is_final", "reason"])


class ResolveForm(ReasonForm):
    review = forms.ChoiceField(
        label=gettext_lazy("Review"),
        required=False,
        help_text=gettext_lazy("Choose one review, or resolve all of them."),
    )

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        (payment,) = self.rows
        reviews = [
            (str(review.id), f"{review.get_code_display()}: {show_review_reason(review)}"[:200])
            for review in list_open_reviews(payment)
        ]
        review_field = self.fields["review"]
        assert isinstance(review_field, forms.ChoiceField)
        review_field.choices = [("", _("All open reviews")), *reviews]


def _refund(actor: User, payment: Payment, data: dict[str, Any]) -> Performed | ApprovalRequested:
    try:
        result = refunds.refund_or_request_approval(
            payment_id=payment.id,
            refund_id=data["refund_id"],
            amount_minor=_to_minor(data["amount"], payment),
            actor=actor.get_username(),
            reason=data["reason"],
        )
    except UnknownObject as error:
        raise Http404 from error
    if isinstance(result, Refund):
        return describe_refund(result)
    text = _("Approval requested for a refund of %(amount)s: %(state)s.")
    amount = money_text(result.amount_minor, result.currency)
    return ApprovalRequested(text % {"amount": amount, "state": result.get_state_display()})


def _sync(actor: User, payment: Payment, data: dict[str, Any]) -> Performed:
    payment_operations.sync_payment(payment=payment, actor=actor.get_username(), reason=data["reason"])
    payment.refresh_from_db()
    return describe_query(payment)


def _capture(actor: User, payment: Payment, data: dict[str, Any]) -> Performed:
    saga = payment_operations.capture_payment(
        payment_id=payment.pk,
        amount_minor=_to_minor(data["amount"], payment),
        is_final=data.get("is_final", True),
        actor=actor.get_username(),
        reason=data["reason"],
    )
    payment.refresh_from_db()
    return describe_capture(payment, saga)


def _cancel(actor: User, payment: Payment, data: dict[str, Any]) -> Performed:
    saga = payment_operations.cancel_payment(
        payment_id=payment.pk, actor=actor.get_username(), reason=data["reason"]
    )
    payment.refresh_from_db()
    return describe_cancel(payment, saga)


def _late_payment_action(operation: PaymentReviewOperation) -> Perform:
    def perform(actor: User, payment: Payment, data: dict[str, Any]) -> Performed | ApprovalRequested:
        result = late_payments.operate_or_request_approval(
            operation=operation,
            payment_no=payment.payment_no,
            actor=actor.get_username(),
            reason=data["reason"],
            reviews=[data["review"]] if data.get("review") else [],
        )
        if not isinstance(result, Approval):
            return _describe_review_operation(operation)
        state = result.get_state_display()
        return ApprovalRequested(
            _("%(operation)s: %(state)s.") % {"operation": operation.label, "state": state}
        )

    return perform


def _describe_review_operation(operation: PaymentReviewOperation) -> Performed:
    if operation is PaymentReviewOperation.REFUND_LATE_PAYMENT:
        return Performed(_("The refund has started. The timeline shows its outcome."), messages.INFO)
    if operation is PaymentReviewOperation.CHARGE_SUSPENSE:
        return Performed(_("Charged to the merchant."))
    return Performed(_("Resolved. No money was moved."))


def _to_minor(amount: Decimal, payment: Payment) -> int:
    return int(amount.scaleb(EXPONENTS[payment.currency]))


def find_refund_obstacle(payment: Payment) -> str:
    if not payment.has_refundable_status:
        return _("Only captured money can be refunded.")
    return "" if payment.refundable_minor > 0 else _("Nothing is left to refund.")


def _find_capture_obstacle(payment: Payment) -> str:
    return "" if payment.status == PaymentStatus.AUTHORIZED else str(PaymentNotCapturable.text)


def _find_cancel_obstacle(payment: Payment) -> str:
    return "" if payment.is_open else _("Only an open payment can be cancelled. Refund a paid one instead.")


def _find_review_obstacle(payment: Payment) -> str:
    return "" if payment.needs_attention else _("This payment has no open review.")


def _find_late_payment_obstacle(payment: Payment) -> str:
    if not payment.needs_attention:
        return _find_review_obstacle(payment)
    if get_late_amount_minor(payment):
        return ""
    return _("%(no)s has no late payment to refund.") % {"no": payment.payment_no}


def _find_suspense_obstacle(payment: Payment) -> str:
    # A review is open while money is in suspense, so that most payments need no further query.
    is_held = payment.needs_attention and has_suspense(payment)
    return "" if is_held else _("Nothing of this payment is in suspense.")


def list_amounts(payment: Payment) -> list[tuple[str, str]]:
    return [
        (label, money_text(amount_minor, payment.currency))
        for label, amount_minor in (
            (_("capturable"), payment.capturable_minor),
            (_("captured"), payment.captured_minor),
            (_("refunded"), payment.refunded_minor),
            (_("refund pending"), payment.refund_pending_minor),
            (_("disputed"), payment.disputed_minor),
            (_("in suspense"), payment.suspense_minor),
            (_("refundable"), payment.refundable_minor),
        )
    ]


PAYMENT_ACTIONS = (
    AdminAction(
        "refund",
        gettext_lazy("Refund"),
        gettext_lazy("Refunds the customer, in full or in part."),
        Permission.REFUND,
        _refund,
        RefundForm,
        find_obstacle=find_refund_obstacle,
        list_facts=list_amounts,
        waits_for_approval=True,
        is_dialog=True,
    ),
    AdminAction(
        "sync",
        gettext_lazy("Sync with the channel"),
        gettext_lazy("Queries the channel and applies its status. Nothing is charged or refunded."),
        Permission.SYNC,
        _sync,
    ),
    AdminAction(
        "capture",
        gettext_lazy("Capture"),
        gettext_lazy("Captures the held funds, in full or in part."),
        Permission.CAPTURE,
        _capture,
        CaptureForm,
        find_obstacle=_find_capture_obstacle,
    ),
    AdminAction(
        "cancel",
        gettext_lazy("Cancel payment"),
        gettext_lazy("Cancels the payment at the channel, unless the customer has paid meanwhile."),
        Permission.CANCEL,
        _cancel,
        find_obstacle=_find_cancel_obstacle,
    ),
    AdminAction(
        PaymentReviewOperation.REFUND_LATE_PAYMENT.value,
        PaymentReviewOperation.REFUND_LATE_PAYMENT.label,
        gettext_lazy("Refunds money that arrived after the payment was closed, and duplicate payments."),
        Permission.REFUND,
        _late_payment_action(PaymentReviewOperation.REFUND_LATE_PAYMENT),
        find_obstacle=_find_late_payment_obstacle,
    ),
    AdminAction(
        PaymentReviewOperation.CHARGE_SUSPENSE.value,
        PaymentReviewOperation.CHARGE_SUSPENSE.label,
        gettext_lazy("Charges to the merchant what the channel took beyond what the payment holds."),
        Permission.REFUND,
        _late_payment_action(PaymentReviewOperation.CHARGE_SUSPENSE),
        find_obstacle=_find_suspense_obstacle,
    ),
    AdminAction(
        PaymentReviewOperation.RESOLVE.value,
        PaymentReviewOperation.RESOLVE.label,
        gettext_lazy("Closes reviews that have been handled. No money is moved."),
        Permission.RESOLVE,
        _late_payment_action(PaymentReviewOperation.RESOLVE),
        ResolveForm,
        find_obstacle=_find_review_obstacle,
    ),
)


def _find_pending(payment: Payment) -> Approval | None:
    return decisions.find_pending_for_payment(payment_no=payment.payment_no)


def _describe_effects(payment: Payment, approval: Approval) -> Sequence[str]:
    if approval.operation != REFUND:
        return late_payments.describe_effects(approval, payment)
    values = {
        "amount": money_text(approval.amount_minor, approval.currency),
        "refundable": money_text(payment.refundable_minor, payment.currency),
    }
    return [_("Refunds %(amount)s. Refundable now: %(refundable)s.") % values]


def _approve(approval: Approval, approver: str) -> Performed:
    if approval.operation == REFUND:
        return describe_refund(refunds.approve(approval_id=approval.pk, actor=approver))
    late_payments.approve(approval_id=approval.pk, actor=approver)
    return _describe_review_operation(PaymentReviewOperation(approval.operation))


PAYMENT_APPROVALS = ApprovalFlow(_find_pending, _describe_effects, _approve)
