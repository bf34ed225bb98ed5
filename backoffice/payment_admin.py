"""The payment's page: its state in words, its whole story in one line of time, and the refund."""

import uuid
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from backoffice import lookup
from backoffice.approvals import decisions, late_payments, refunds
from backoffice.approvals import pages as approval_pages
from backoffice.approvals.models import REFUND as REFUND_OPERATION
from backoffice.approvals.models import Approval
from backoffice.operation_pages import OperableAdmin
from backoffice.payment_actions import PAYMENT_OPERATIONS
from backoffice.refund_form import RefundForm
from backoffice.renderers.payment_labels import channel_url, status_icon, status_sentence, status_tone
from backoffice.renderers.payment_tabs import tab
from backoffice.timeline.payment_timeline import load_subject
from common.admin import money_text
from common.errors import ApiError, OperationRefused, UnknownObject
from gateway.admin import PaymentAdmin
from gateway.models import Payment, PaymentStatus, Refund
from gateway.services.payment_reviews import list_open_reviews
from staff.roles import Permission, has_permission

PAGE = "admin:gateway_payment_change"
REFUND = "admin:gateway_payment_refund"
DECIDE = "admin:gateway_payment_decide"

admin.site.unregister(Payment)


@admin.register(Payment)
class PaymentPageAdmin(OperableAdmin, PaymentAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "payments"
    operations = PAYMENT_OPERATIONS
    change_form_outer_before_template = ""  # type: ignore[assignment]  # they stand in its head
    change_form_template = "backoffice/payment_page.html"

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view
        return [
            path("<uuid:payment_id>/refund/", own(self.refund_view), name="gateway_payment_refund"),
            path("<uuid:payment_id>/decide/", own(self.decide_view), name="gateway_payment_decide"),
            path("find/", own(self.find_view), name="gateway_payment_find"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        payment = _found(unquote(object_id))
        extra: dict[str, Any] = {}
        if payment and self.has_view_permission(request, payment):
            extra = {**_picture(request, payment), "staff_operations": self._offers(request, payment)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Any number, straight to what it names; the page there asks for its own permission."""
        term = request.GET.get("q", "")
        if address := lookup.find_address(term):
            return redirect(address)
        messages.warning(request, _("Nothing is called “%(term)s”.") % {"term": term.strip()[:100]})
        back = request.headers.get("Referer", "")
        allowed = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return redirect(back if allowed else reverse("admin:index"))

    def refund_view(self, request: HttpRequest, payment_id: uuid.UUID) -> HttpResponse:
        if not (self.has_view_permission(request) and has_permission(request.user, Permission.REFUND)):
            raise PermissionDenied
        payment = _found(str(payment_id))
        if payment is None:
            raise Http404
        if request.method != "POST":
            return self._refund_page(request, payment, RefundForm(payment))
        form = RefundForm(payment, request.POST)
        if not form.is_valid():
            return self._refund_page(request, payment, form, status=422)
        try:
            answer = refunds.refund_or_request_approval(
                payment_id=payment.id,
                refund_id=form.key,
                amount_minor=form.amount_minor,
                actor=request.user.get_username(),
                reason=form.cleaned_data["reason"],
            )
        except ApiError as refused:
            return self._conflict(request, payment_id, form, str(refused.text))
        except UnknownObject as unknown:
            raise Http404 from unknown
        except OperationRefused as refused:
            return self._conflict(request, payment_id, form, str(refused))
        _tell(request, answer)
        return redirect(PAGE, payment.pk)

    def decide_view(self, request: HttpRequest, payment_id: uuid.UUID) -> HttpResponse:
        """Approves or rejects the pending operation on the payment's money."""
        payment = _found(str(payment_id))
        if payment is None:
            raise Http404

        def agree(approval: Approval) -> None:
            actor = request.user.get_username()
            if approval.operation == REFUND_OPERATION:
                _tell(request, refunds.approve(approval_id=approval.pk, actor=actor))
                return
            late_payments.approve(approval_id=approval.pk, actor=actor)
            label = approval.get_operation_display()
            messages.success(request, _("%(operation)s: done.") % {"operation": label})

        asked = decisions.find_pending_for_payment(payment_no=payment.payment_no)
        return approval_pages.decide(request, self, asked, back=reverse(PAGE, args=[payment_id]), agree=agree)

    def _conflict(
        self, request: HttpRequest, payment_id: uuid.UUID, form: RefundForm, why: str
    ) -> HttpResponse:
        """The payment has changed under the form: it is shown as it is now, with what was typed."""
        payment = Payment.objects.select_related("merchant").get(id=payment_id)
        now = RefundForm(payment, form.data)
        now.is_valid()
        return self._refund_page(request, payment, now, refused=why, status=409)

    def _refund_page(
        self,
        request: HttpRequest,
        payment: Payment,
        form: RefundForm,
        *,
        refused: str = "",
        status: int = 200,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Refund"),
            "subtitle": payment.payment_no,
            "payment": payment,
            "money": money_rows(payment),
            "why_not": why_no_refund(payment),
            "refund_form": form,
            "refund_url": reverse(REFUND, args=[payment.pk]),
            "refused": refused,
        }
        return TemplateResponse(request, "backoffice/refund_page.html", context, status=status)


def _tell(request: HttpRequest, answer: Refund | Approval) -> None:
    amount = money_text(answer.amount_minor, answer.currency)
    if isinstance(answer, Refund):
        told = {"amount": amount, "status": answer.get_status_display()}
        messages.success(request, _("Refund of %(amount)s: %(status)s.") % told)
    else:
        told = {"amount": amount, "state": answer.get_state_display()}
        messages.warning(request, _("Refund of %(amount)s asked for: %(state)s.") % told)


def why_no_refund(payment: Payment) -> str:
    if payment.status != PaymentStatus.SUCCEEDED:
        return _("Only a succeeded payment can be refunded.")
    return "" if payment.refundable_minor > 0 else _("Nothing is left to refund.")


def money_rows(payment: Payment) -> list[tuple[str, str]]:
    return [
        (label, money_text(amount_minor, payment.currency))
        for label, amount_minor in (
            (_("captured"), payment.captured_minor),
            (_("refunded"), payment.refunded_minor),
            (_("being refunded"), payment.refund_pending_minor),
            (_("disputed"), payment.disputed_minor),
            (_("refundable"), payment.refundable_minor),
        )
    ]


def _found(payment_id: str) -> Payment | None:
    try:
        parsed = uuid.UUID(payment_id)
    except ValueError:
        return None
    return Payment.objects.select_related("merchant").filter(id=parsed).first()


def _picture(request: HttpRequest, payment: Payment) -> dict[str, Any]:
    subject = load_subject(payment)
    approval = decisions.find_pending_for_payment(payment_no=payment.payment_no)
    why_not = why_no_refund(payment)
    if approval is not None:
        why_not = _("An operation on it waits for a second person already.")
    if not has_permission(request.user, Permission.REFUND):
        why_not = _("Your role may not refund.")
    return {
        "title": payment.payment_no,
        "subtitle": None,
        "payment": payment,
        "open_reviews": list_open_reviews(payment) if payment.needs_attention else [],
        "amount": money_text(payment.amount_minor, payment.currency),
        "status_icon": status_icon(payment),
        "status_tone": status_tone(payment),
        "status_sentence": status_sentence(payment),
        "channel_url": channel_url(payment),
        "money": money_rows(payment),
        "sagas": subject.sagas,
        "why_not": why_not,
        "refund_form": None if why_not else RefundForm(payment),
        "refund_url": reverse(REFUND, args=[payment.pk]),
        **approval_pages.offer(request, approval, decide_url=reverse(DECIDE, args=[payment.pk])),
        "approval_effects": _approval_effects(payment, approval) if approval else [],
        **tab(subject, request.GET.get("tab", "")),
    }


def _approval_effects(payment: Payment, approval: Approval) -> list[str]:
    if approval.operation != REFUND_OPERATION:
        return late_payments.effects(approval, payment)
    told = {
        "amount": money_text(approval.amount_minor, approval.currency),
        "refundable": money_text(payment.refundable_minor, payment.currency),
    }
    return [_("%(amount)s goes back, of %(refundable)s that can be refunded now.") % told]
