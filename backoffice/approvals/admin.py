from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from backoffice.approvals.models import Approval, ApprovalState
from backoffice.saga_forms import ReasonCode
from common.admin import ReadOnlyAdmin, badge_column, label_column, money_column
from gateway.models import Payment
from merchants.admin import EnvironmentFilter
from merchants.models import Environment
from sagas.models import SagaInstance

COLOURS = {
    "pending": "warning",
    "approved": "success",
    "rejected": "danger",
    "stale": "info",
    "expired": "info",
}


class ApprovalEnvironmentFilter(EnvironmentFilter):
    """An approval is about a payment, or about a saga, whose queue has the name of its environment."""

    @classmethod
    def narrow(cls, rows: QuerySet[Any], environment: str) -> QuerySet[Any]:
        payment = Payment.objects.filter(payment_no=OuterRef("business_id"), environment=environment)
        queues = (environment, "default")
        saga = SagaInstance.objects.filter(pk=OuterRef("saga_id"), task_queue__in=queues)
        return rows.filter(Exists(payment) | Exists(saga))

    @classmethod
    def read_environment(cls, row: Approval) -> str:
        payments = Payment.objects.filter(payment_no=row.business_id).values_list("environment", flat=True)
        queues = SagaInstance.objects.filter(pk=row.saga_id).values_list("task_queue", flat=True)
        found = payments.first() or queues.first()
        return found if found in Environment.values else ""


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    amount = money_column("amount_minor", _("amount"))
    why = label_column("reason_code", _("reason code"), ReasonCode)
    coloured_state = badge_column("state", _("state"), COLOURS)
    list_display = (
        "requested_at",
        "operation",
        "decided_where",
        "amount",
        "coloured_state",
        "requested_by",
        "decided_by",
    )
    list_filter = ("state", ApprovalEnvironmentFilter)
    saved_views = (
        (_("All"), ""),
        (ApprovalState.PENDING.label, "state__exact=pending"),
    )
    search_fields = ("=saga_id", "=business_id", "=requested_by")
    search_help_text = _("Saga id, business id or name of the person, in full.")
    ordering = ("-id",)
    fields = readonly_fields = (
        "operation",
        "decided_where",
        "amount",
        "state",
        "reason",
        "why",
        "ticket",
        "result",
        "requested_by",
        "requested_at",
        "decided_by",
        "decided_at",
    )

    @admin.display(description=_("business id"))
    def decided_where(self, approval: Approval) -> SafeString:
        """The payment's page for an operation on its money, else the saga's."""
        url = (
            f"{reverse('admin_find')}?{urlencode({'q': approval.business_id})}"
            if approval.is_about_payment
            else reverse("admin:sagas_sagainstance_change", args=[approval.saga_id])
        )
        return format_html('<a class="text-link" href="{}">{}</a>', url, approval.business_id)
