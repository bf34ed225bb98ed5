from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, ReadOnlyInline
from ops.models import ConsistencyResult, ConsistencyRun


class ResultInline(ReadOnlyInline):
    model = ConsistencyResult
    show_change_link = False
    fields = ("name", "passed", "count", "fixed", "sample", "seconds")


@admin.register(ConsistencyRun)
class ConsistencyRunAdmin(ReadOnlyAdmin):
    list_display = ("started_at", "all_passed", "failed_checks", "since", "with_fixes", "finished_at")
    inlines = (ResultInline,)

    @admin.display(description=_("all passed"), boolean=True)
    def all_passed(self, run: ConsistencyRun) -> bool:
        return run.failed_checks == 0


@admin.register(ConsistencyResult)
class ConsistencyResultAdmin(ReadOnlyAdmin):
    list_display = ("name", "passed", "count", "fixed", "seconds", "run")
    list_filter = ("passed",)
    list_select_related = ("run",)
    search_fields = ("=name",)
