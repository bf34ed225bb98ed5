"""The pages of reports: read one, download one, schedule one, and watch the runs of schedules."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.buttons import OfferedAction
from backoffice.actions.declaration import ActionTarget, AdminAction
from backoffice.reports import services, shown
from backoffice.reports.forms import ReportDownloadForm, ScheduleForm, ShownReportForm
from backoffice.reports.kinds import KINDS
from backoffice.reports.models import ReportRun, ReportRunStatus, ReportSchedule
from backoffice.reports.periods import ONE_DAY
from backoffice.reports.services import NewSchedule
from common.admin import badge_column
from common.admin_forms import with_theme_widgets
from common.downloads import stream_csv
from staff.roles import Permission

COLOURS = {"queued": "info", "running": "info", "done": "success", "failed": "danger"}


def _create(actor: User, _row: None, data: dict[str, Any]) -> None:
    reason = data.pop("reason")
    filters = {name: data.pop(name) for name in ("environment", "merchant", "channel", "currency")}
    services.create_schedule(NewSchedule(**data, filters=filters), actor=actor.get_username(), reason=reason)


def _download(actor: User, _row: None, data: dict[str, Any]) -> HttpResponseBase:
    kind = data["kind"]
    return stream_csv(shown.download_report(data, actor=actor.get_username()), kind=kind)


def _end(actor: User, schedule: ReportSchedule, data: dict[str, Any]) -> None:
    services.end_schedule(schedule_id=schedule.pk, actor=actor.get_username(), **data)


def _send_again(actor: User, run: ReportRun, data: dict[str, Any]) -> None:
    services.send_again(run_id=run.pk, actor=actor.get_username(), **data)


def _find_end_obstacle(schedule: ReportSchedule) -> str:
    return _("This report has ended already.") if schedule.ended_at else ""


def _find_send_obstacle(run: ReportRun) -> str:
    is_over = run.status in (ReportRunStatus.DONE, ReportRunStatus.FAILED)
    return "" if is_over else _("This report is on its way already.")


@admin.register(ReportSchedule)
class ReportScheduleAdmin(ActionsAdmin):
    staff_actions = (
        AdminAction(
            "new",
            gettext_lazy("Schedule a report"),
            gettext_lazy(
                "Sends one file for each period to the destination. A schedule cannot be edited: end it and add"
                " another."
            ),
            Permission.EXPORT,
            _create,
            ScheduleForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "download",
            gettext_lazy("Download a report"),
            gettext_lazy("Downloads a CSV file. Each download is recorded in the audit log with your name."),
            Permission.EXPORT,
            _download,
            ReportDownloadForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "end",
            gettext_lazy("End the scheduled report"),
            gettext_lazy("No further period is sent. Files that were sent stay where they are."),
            Permission.EXPORT,
            _end,
            find_obstacle=_find_end_obstacle,
        ),
    )
    list_display = (
        "name",
        "what",
        "frequency",
        "file_format",
        "destination",
        "next_period_start",
        "ended_at",
    )
    list_filter = ("frequency", "file_format")
    search_fields = ("=name",)
    ordering = ("-pk",)
    fields = readonly_fields = (
        "name",
        "what",
        "narrowed",
        "frequency",
        "run_time",
        "time_zone",
        "file_format",
        "destination",
        "next_period_start",
        "created_by",
        "reason",
        "created_at",
        "ended_at",
    )

    def get_urls(self) -> list[URLPattern]:
        return [self._path("show/", self.show_view, "show"), *super().get_urls()]

    def list_links(self, request: HttpRequest) -> list[OfferedAction]:
        description = _("Payments, refunds, fees, disputes and balances by day.")
        return [OfferedAction("show", _("Show a report"), description, "", self._reverse("show"))]

    def show_view(self, request: HttpRequest) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ShownReportForm(request.GET or None)
        report = shown.build_report(form) if form.is_valid() else None
        context = {
            "title": _("Reports"),
            "form": with_theme_widgets(form),
            "report": report,
            "back": self._reverse("changelist"),
        }
        return self._render(request, "backoffice/report_page.html", context)

    @admin.display(description=gettext_lazy("report"))
    def what(self, schedule: ReportSchedule) -> str | Promise:
        return KINDS[schedule.kind].label if schedule.kind in KINDS else schedule.kind

    @admin.display(description=gettext_lazy("filters"))
    def narrowed(self, schedule: ReportSchedule) -> str:
        labels = {name: field.label for name, field in ScheduleForm.base_fields.items()}
        return " · ".join(f"{labels.get(name, name)}: {value}" for name, value in schedule.filters.items())


@admin.register(ReportRun)
class ReportRunAdmin(ActionsAdmin):
    coloured_status = badge_column("status", gettext_lazy("status"), COLOURS)
    staff_actions = (
        AdminAction(
            "send_again",
            gettext_lazy("Send the report again"),
            gettext_lazy("Writes the file again from the data of now. It replaces the file of this period."),
            Permission.EXPORT,
            _send_again,
            find_obstacle=_find_send_obstacle,
        ),
    )
    list_display = (
        "file_key",
        "coloured_status",
        "row_count",
        "byte_count",
        "attempts",
        "due_at",
        "finished_at",
    )
    list_filter = ("status",)
    list_select_related = ("schedule",)
    search_fields = ("=schedule__name", "=sha256")
    ordering = ("-pk",)
    fields = readonly_fields = (
        "schedule",
        "period_start",
        "last_day",
        "due_at",
        "status",
        "file_key",
        "sha256",
        "row_count",
        "byte_count",
        "attempts",
        "error",
        "retry_at",
        "created_at",
        "finished_at",
    )

    @admin.display(description=gettext_lazy("last day"))
    def last_day(self, run: ReportRun) -> str:
        return str(run.period_end - ONE_DAY)
