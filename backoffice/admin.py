from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from backoffice import (  # noqa: F401  (each registers its pages)
    approval_admin,
    audit_admin,
    bank_account_admin,
    channel_account_admin,
    dispute_admin,
    fee_admin,
    merchant_admin,
    object_admin,
    payment_admin,
    payout_admin,
    payout_run_admin,
    routing_admin,
    saga_admin,
    settlement_admin,
    staff_admin,
    technical_admin,
    webhook_admin,
)
from common.admin import FlatInline, ReadOnlyAdmin
from monitoring.integrity import registry
from monitoring.models import ConsistencyResult, ConsistencyRun


class ResultInline(FlatInline):
    model = ConsistencyResult
    fields = ("name", "meaning", "passed", "count", "fixed", "sample", "seconds")
    readonly_fields = ("meaning",)

    @admin.display(description=_("meaning"))
    def meaning(self, result: ConsistencyResult) -> str:
        return registry.get_check_meaning(result.name)


@admin.register(ConsistencyRun)
class ConsistencyRunAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "all_passed", "failed_checks", "since", "with_fixes", "finished_at")
    inlines = (ResultInline,)

    @admin.display(description=_("all passed"), boolean=True)
    def all_passed(self, run: ConsistencyRun) -> bool:
        return run.failed_checks == 0


@admin.register(ConsistencyResult)
class ConsistencyResultAdmin(ReadOnlyAdmin):
    list_display = ("meaning", "passed", "count", "fixed", "seconds", "run")
    list_filter = ("passed",)
    list_select_related = ("run",)
    search_fields = ("=name",)

    @admin.display(description=_("meaning"))
    def meaning(self, result: ConsistencyResult) -> SafeString:
        """With the name, which the search finds."""
        return format_html("{}<br><samp>{}</samp>", registry.get_check_meaning(result.name), result.name)
