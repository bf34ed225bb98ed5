"""The saga's page: its attempts, steps and actions."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from backoffice.actions.admin import ActionsAdmin
from backoffice.renderers import saga_page
from backoffice.renderers.saga_labels import describe_progress, describe_wait
from backoffice.saga_actions import SAGA_ACTIONS, SAGA_APPROVALS
from backoffice.services import saga_inspection
from common.downloads import attachment_headers
from merchants.admin import TaskQueueFilter
from sagas.admin import SagaInstanceAdmin
from sagas.inspection import SagaView
from sagas.models import SagaInstance

admin.site.unregister(SagaInstance)


@admin.register(SagaInstance)
class SagaPageAdmin(ActionsAdmin, SagaInstanceAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "sagas"
    list_filter = (TaskQueueFilter, *SagaInstanceAdmin.list_filter)  # type: ignore[assignment]
    staff_actions = SAGA_ACTIONS
    approval_flow = SAGA_APPROVALS
    change_form_outer_before_template = ""  # type: ignore[assignment]  # the actions are in the page's head
    change_form_template = "backoffice/saga_page.html"

    def get_urls(self) -> list[URLPattern]:
        download = self.admin_site.admin_view(self.json_view)
        return [
            path("<uuid:saga_id>/json/", download, name="sagas_sagainstance_json"),
            *super().get_urls(),
        ]

    def load_rows(self, request: HttpRequest, ids: Sequence[str]) -> list[SagaView]:
        return saga_inspection.load_sagas(ids=ids)

    def describe_row(self, row: SagaView) -> tuple[str, Sequence[str]]:
        return f"{row.definition} {row.business_id}", (
            str(row.status.label),
            str(row.direction.label),
            describe_progress(row),
            _("revision %(revision)s") % {"revision": row.revision},
            f"{_('State')}: {describe_wait(row)}",
        )

    def page_context(self, request: HttpRequest, row: SagaView) -> dict[str, Any]:
        return {
            "title": f"{row.definition} {row.business_id}",
            "subtitle": None,
            "download_url": reverse("admin:sagas_sagainstance_json", args=[row.id]),
            **saga_page.page_context(row),
        }

    def json_view(self, request: HttpRequest, saga_id: uuid.UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = saga_inspection.load_sagas(ids=[str(saga_id)])
        if not found:
            raise Http404
        details = saga_inspection.load_saga_details(saga=found[0])
        text = saga_page.format_json(details, saga_page.load_payloads(saga_id))
        headers = attachment_headers(f"saga-{saga_id}.json")
        return HttpResponse(text, content_type="application/json; charset=utf-8", headers=headers)
