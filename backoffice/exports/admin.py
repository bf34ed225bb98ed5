"""The pages of exports: request one, watch its progress, download it."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, ReasonForm
from backoffice.exports import services
from backoffice.exports.kinds import KINDS
from backoffice.exports.models import UNFINISHED, Export, ExportStatus
from common.admin import badge_column
from common.downloads import stream_csv
from common.errors import OperationRefused
from common.time_zones import find_zone
from merchants.models import Environment
from staff.roles import Permission

STATUSES = {code: label for kind in KINDS.values() for code, label in kind.statuses.items()}
COLOURS = {"queued": "info", "running": "info", "done": "success", "failed": "danger"}
REFRESH_SECONDS = "3"


class NewExportForm(ReasonForm):
    kind = forms.ChoiceField(
        label=gettext_lazy("Data"), choices=[(kind.name, kind.label) for kind in KINDS.values()]
    )
    created_from = forms.DateField(label=gettext_lazy("Created from"), required=False)
    created_until = forms.DateField(label=gettext_lazy("Created to, inclusive"), required=False)
    paid_from = forms.DateField(label=gettext_lazy("Paid from"), required=False)
    paid_until = forms.DateField(label=gettext_lazy("Paid to, inclusive"), required=False)
    status = forms.ChoiceField(
        label=gettext_lazy("Status"), choices=[("", "—"), *STATUSES.items()], required=False
    )
    environment = forms.ChoiceField(
        label=gettext_lazy("Environment"), choices=[("", "—"), *Environment.choices], required=False
    )
    currency = forms.CharField(label=gettext_lazy("Currency"), max_length=3, required=False)
    merchant = forms.EmailField(label=gettext_lazy("Email of the merchant"), required=False)
    actor = forms.CharField(
        label=gettext_lazy("Person"),
        help_text=gettext_lazy("Only for the audit log."),
        max_length=150,
        required=False,
    )
    list = forms.CharField(
        label=gettext_lazy("Filters of the list"),
        help_text=gettext_lazy("The filters of the list from which you came. Empty: all rows."),
        max_length=2000,
        required=False,
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        help_text=gettext_lazy(
            "Of the days above and of the times in the file, such as Asia/Shanghai. Empty: UTC."
        ),
        max_length=50,
        required=False,
    )
    in_background = forms.BooleanField(
        label=gettext_lazy("Write in the background"),
        help_text=gettext_lazy("Also for a short export. The file can be downloaded here for a week."),
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        kind, status = KINDS.get(given.get("kind", "")), given.get("status")
        if kind and status and status not in kind.statuses:
            self.add_error("status", _("%(kind)s have no such status.") % {"kind": kind.label})
        zone = given.get(services.TIME_ZONE)
        if zone and find_zone(zone) is None:
            self.add_error(services.TIME_ZONE, _("There is no time zone “%(name)s”.") % {"name": zone})
        return {**given, "currency": given.get("currency", "").upper()}


class ExportDownloadForm(ReasonForm):
    """The reason was given with the export."""

    reason = None  # type: ignore[assignment]


def _request_export(user: User, _row: None, data: dict[str, Any]) -> HttpResponseBase:
    kind = KINDS[data.pop("kind")]
    if not user.has_perm(kind.view_permission):
        raise OperationRefused(_("Your role does not permit viewing these rows."))
    reason, in_background = data.pop("reason"), data.pop("in_background")
    zone = find_zone(data[services.TIME_ZONE]) or dt.UTC
    filters = {name: _as_filter(name, value, zone) for name, value in data.items() if value}
    answer = services.request_export(
        kind_name=kind.name,
        filters=filters,
        actor=user.get_username(),
        reason=reason,
        in_background=in_background,
    )
    if isinstance(answer, Export):
        return redirect("admin:exports_export_change", answer.pk)
    return stream_csv(answer, kind=kind.name)


def _download(user: User, export: Export, _data: dict[str, Any]) -> HttpResponseBase:
    if not user.has_perm(KINDS[export.kind].view_permission):
        raise OperationRefused(_("Your role does not permit viewing these rows."))
    return stream_csv(services.download(export_id=export.pk, actor=user.get_username()), kind=export.kind)


def _as_filter(name: str, value: Any, zone: dt.tzinfo) -> str:
    """Days are whole days, in the zone of the export."""
    if not isinstance(value, dt.date):
        return str(value)
    day = value + dt.timedelta(days=1) if name.endswith("_until") else value
    return dt.datetime.combine(day, dt.time.min, zone).isoformat()


def _find_download_obstacle(export: Export) -> str:
    return "" if export.status == ExportStatus.DONE else _("This export is not ready yet.")


@admin.register(Export)
class ExportAdmin(ActionsAdmin):
    coloured_status = badge_column("status", gettext_lazy("status"), COLOURS)
    staff_actions = (
        AdminAction(
            "new",
            gettext_lazy("New export"),
            gettext_lazy("A short export is downloaded at once. A long one is written in the background."),
            Permission.EXPORT,
            _request_export,
            NewExportForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "download",
            gettext_lazy("Download"),
            gettext_lazy("Downloads a CSV file. Each download is recorded in the audit log with your name."),
            Permission.EXPORT,
            _download,
            ExportDownloadForm,
            find_obstacle=_find_download_obstacle,
        ),
    )
    list_display = (
        "created_at",
        "what",
        "coloured_status",
        "rows_written",
        "completeness",
        "requested_by",
        "finished_at",
    )
    list_filter = ("status",)
    search_fields = ("=id", "=requested_by")
    ordering = ("-created_at",)
    fields = readonly_fields = (
        "what",
        "narrowed",
        "status",
        "rows_written",
        "completeness",
        "requested_by",
        "reason",
        "created_at",
        "finished_at",
    )

    @admin.display(description=gettext_lazy("Data"))
    def what(self, export: Export) -> str | Promise:
        return KINDS[export.kind].label if export.kind in KINDS else export.kind

    @admin.display(description=gettext_lazy("complete"))
    def completeness(self, export: Export) -> str:
        if export.status != ExportStatus.DONE:
            return "—"
        if export.is_cut:
            return _("Incomplete: more than %(limit)s rows match") % {
                "limit": number_format(export.row_limit)
            }
        return _("All rows")

    @admin.display(description=gettext_lazy("filters"))
    def narrowed(self, export: Export) -> str:
        labels = {name: field.label for name, field in NewExportForm.base_fields.items()}
        return " · ".join(f"{labels.get(name, name)}: {value}" for name, value in export.filters.items())

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Reloads the page until the export is done."""
        response = super().change_view(request, object_id, *args, **kwargs)
        export = self.get_object(request, object_id)
        if export is not None and export.status in UNFINISHED:
            response["Refresh"] = REFRESH_SECONDS
        return response
