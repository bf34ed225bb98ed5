"""The payment's page: its status, amounts, actions and timeline."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from backoffice import lookup
from backoffice.actions.admin import ActionsAdmin
from backoffice.payment_actions import PAYMENT_ACTIONS, PAYMENT_APPROVALS, list_amounts
from backoffice.renderers.payment_labels import channel_url, label_payment
from backoffice.renderers.payment_tabs import tab
from backoffice.timeline.payment_timeline import load_subject
from common.admin import money_text
from gateway.admin import PaymentAdmin
from gateway.models import Payment
from gateway.services.payment_reviews import list_open_reviews


@admin.register(Payment)
class PaymentPageAdmin(ActionsAdmin, PaymentAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "payments"
    staff_actions = PAYMENT_ACTIONS
    approval_flow = PAYMENT_APPROVALS
    change_form_outer_before_template = ""  # type: ignore[assignment]  # the actions are in the page's head
    change_form_template = "backoffice/payment_page.html"

    def get_urls(self) -> list[URLPattern]:
        find = self.admin_site.admin_view(self.find_view)
        return [path("find/", find, name="gateway_payment_find"), *super().get_urls()]

    def load_rows(self, request: HttpRequest, ids: Sequence[str]) -> list[Payment]:
        """With every column, unlike the lists: actions compare amounts and names."""
        known = [parsed for each in ids if (parsed := _parse_uuid(each)) is not None]
        return list(Payment.objects.select_related("merchant").filter(id__in=known))

    def page_context(self, request: HttpRequest, row: Payment) -> dict[str, Any]:
        subject = load_subject(row)
        return {
            "title": row.payment_no,
            "subtitle": None,
            "payment": row,
            "open_reviews": list_open_reviews(row) if row.needs_attention else [],
            "amount": money_text(row.amount_minor, row.currency),
            "label": label_payment(subject),
            "channel_url": channel_url(row),
            "money": list_amounts(row),
            "sagas": subject.sagas,
            **tab(subject, request.GET.get("tab", "")),
        }

    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Redirects from any number to the object that it names; the page there checks its own permission."""
        term = request.GET.get("q", "")
        if address := lookup.find_address(term):
            return redirect(address)
        messages.warning(request, _("Nothing found for “%(term)s”.") % {"term": term.strip()[:100]})
        back = request.headers.get("Referer", "")
        is_ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
        return redirect(back if is_ours else reverse("admin:index"))


def _parse_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
