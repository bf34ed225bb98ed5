"""The payment's page: its status, amounts, actions and timeline."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from backoffice.actions.admin import ActionsAdmin
from backoffice.payment_actions import PAYMENT_ACTIONS, PAYMENT_APPROVALS
from backoffice.renderers.payment_head import build_head
from backoffice.renderers.payment_labels import channel_url, label_payment
from backoffice.renderers.payment_tabs import tab
from backoffice.timeline.records import load_payment_records
from common.admin import money_text
from gateway.admin import PaymentAdmin
from gateway.admin.review_reasons import show_review_reason
from gateway.models import Payment
from gateway.services.payment_reviews import list_open_reviews


@admin.register(Payment)
class PaymentPageAdmin(ActionsAdmin, PaymentAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "payments"
    staff_actions = PAYMENT_ACTIONS
    approval_flow = PAYMENT_APPROVALS
    change_form_outer_before_template = ""  # type: ignore[assignment]  # the actions are in the page's head
    change_form_template = "backoffice/payment_page.html"

    def load_rows(self, request: HttpRequest, ids: Sequence[str]) -> list[Payment]:
        """With every column, unlike the lists: actions compare amounts and names."""
        known = [parsed for each in ids if (parsed := _parse_uuid(each)) is not None]
        return list(Payment.objects.select_related("merchant").filter(id__in=known))

    def page_context(self, request: HttpRequest, row: Payment) -> dict[str, Any]:
        records = load_payment_records(row)
        open_reviews = list_open_reviews(row) if row.needs_attention else []
        return {
            "title": row.payment_no,
            "subtitle": None,
            "payment": row,
            "open_reviews": [
                (review.get_code_display(), show_review_reason(review)) for review in open_reviews
            ],
            "amount": money_text(row.amount_minor, row.currency),
            "label": label_payment(records),
            "channel_url": channel_url(row),
            **build_head(records, open_reviews),
            "sagas": records.sagas,
            **tab(records, request.GET.get("tab", "")),
        }


def _parse_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
