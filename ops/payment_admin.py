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

from common.admin import money_text
from common.errors import ApiError
from gateway.admin import PaymentAdmin
from gateway.models import Payment, PaymentStatus
from ops import lookup, verbs
from ops.refund_form import RefundForm
from ops.renderers.entries import shown_entries
from ops.renderers.payment_words import channel_url, status_icon, status_sentence, status_tone
from ops.services import staff_refunds
from ops.timeline.story import story, subject_of

PAGE = "admin:gateway_payment_change"
REFUND = "admin:gateway_payment_refund"

admin.site.unregister(Payment)


@admin.register(Payment)
class PaymentPageAdmin(PaymentAdmin):
    change_form_template = "ops/payment_page.html"

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view
        return [
            path("<uuid:payment_id>/refund/", own(self.refund_view), name="gateway_payment_refund"),
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
        extra = _picture(request, payment) if payment and self.has_view_permission(request, payment) else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Any number, straight to what it names; the page there asks for its own permission."""
        term = request.GET.get("q", "")
        if address := lookup.find(term):
            return redirect(address)
        messages.warning(request, _("Nothing is called “%(term)s”.") % {"term": term.strip()[:100]})
        back = request.headers.get("Referer", "")
        allowed = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return redirect(back if allowed else reverse("admin:index"))

    def refund_view(self, request: HttpRequest, payment_id: uuid.UUID) -> HttpResponse:
        if not (self.has_view_permission(request) and request.user.has_perm(verbs.REFUND)):
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
            refund = staff_refunds.refund(
                payment_id=payment.id,
                refund_id=form.key,
                amount_minor=form.amount_minor,
                actor=request.user.get_username(),
                reason=form.cleaned_data["reason"],
            )
        except ApiError as refused:
            return self._conflict(request, payment_id, form, str(refused.text))
        except staff_refunds.WrongRefund as wrong:
            raise Http404 from wrong
        messages.success(
            request,
            _("Refund of %(amount)s: %(status)s.")
            % {
                "amount": money_text(refund.amount_minor, refund.currency),
                "status": refund.get_status_display(),
            },
        )
        return redirect(PAGE, payment.pk)

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
        return TemplateResponse(request, "ops/refund_page.html", context, status=status)


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
    subject = subject_of(payment)
    why_not = why_no_refund(payment)
    if not request.user.has_perm(verbs.REFUND):
        why_not = _("Your role may not refund.")
    return {
        "title": payment.payment_no,
        "subtitle": None,
        "payment": payment,
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
        "entries": shown_entries(story(subject)),
    }
