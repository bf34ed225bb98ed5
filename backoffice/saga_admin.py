"""The saga pages with what staff may do: one page per operation, for one saga or for those chosen in the list; on a
saga's own page the same forms are dialogs."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from backoffice.approvals import pages as approval_pages
from backoffice.approvals import saga_operations as approvals
from backoffice.approvals.models import Approval
from backoffice.approvals.saga_operations import ActionReason, OperationResult
from backoffice.operation_pages import OperableAdmin
from backoffice.renderers import saga_page
from backoffice.renderers.saga_effects import effects
from backoffice.renderers.saga_labels import describe_progress, describe_wait
from backoffice.saga_forms import OperationForm
from backoffice.services import saga_inspection, saga_operations
from common.errors import OperationRefused
from sagas.admin import SagaInstanceAdmin
from sagas.availability import MEANINGS, Operation, allowed
from sagas.inspection import SagaView
from sagas.models import SagaInstance
from sagas.operations import Done
from staff.roles import Permission, has_permission

AT_ONCE = 50  # sagas on one page: as many as a page of the list has, and a link can name
LIST = "admin:sagas_sagainstance_changelist"
PAGE = "admin:sagas_sagainstance_change"
OPERATE = "admin:sagas_sagainstance_operate"
DECIDE = "admin:sagas_sagainstance_decide"
DOWNLOAD = "admin:sagas_sagainstance_json"

ListAction = Callable[[Any, HttpRequest, QuerySet[SagaInstance]], HttpResponse]


def list_action(operation: Operation) -> ListAction:
    @admin.action(description=operation.label, permissions=["operate"])
    def chosen(_admin: Any, request: HttpRequest, sagas: QuerySet[SagaInstance]) -> HttpResponse:
        ids = list(sagas.values_list("pk", flat=True)[: AT_ONCE + 1])
        if len(ids) > AT_ONCE:
            messages.warning(request, _("These are the first %(count)d of them.") % {"count": AT_ONCE})
        return redirect(operation_url(operation, ids[:AT_ONCE]))

    chosen.__name__ = operation.value
    return chosen


def operation_url(operation: Operation, ids: Sequence[uuid.UUID]) -> str:
    query = urlencode({"id": [str(each) for each in ids]}, doseq=True)
    return f"{reverse(OPERATE, args=[operation.value])}?{query}"


admin.site.unregister(SagaInstance)


@admin.register(SagaInstance)
class OperableSagaAdmin(OperableAdmin, SagaInstanceAdmin):  # type: ignore[misc]  # unfold's mixins
    export_kind = "sagas"
    change_form_template = "backoffice/saga_page.html"
    # One result fits one step: skipping is offered on the saga's own page alone.
    actions = [list_action(operation) for operation in Operation if operation != Operation.SKIP_STEP]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return has_permission(request.user, Permission.OPERATE)

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view
        return [
            path("operate/<str:name>/", own(self.operate_view), name="sagas_sagainstance_operate"),
            path("<uuid:saga_id>/decide/", own(self.decide_view), name="sagas_sagainstance_decide"),
            path("<uuid:saga_id>/json/", own(self.json_view), name="sagas_sagainstance_json"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        extra = self._situation(request, unquote(object_id)) if self.has_view_permission(request) else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **extra})

    def json_view(self, request: HttpRequest, saga_id: uuid.UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = saga_inspection.load_saga_and_operations(saga_id=str(saga_id))
        if found is None:
            raise Http404
        text = saga_page.as_json(
            saga_inspection.load_saga_details(saga=found[0]), saga_page.payloads(saga_id)
        )
        answer = HttpResponse(text, content_type="application/json; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="saga-{saga_id}.json"'
        return answer

    def decide_view(self, request: HttpRequest, saga_id: uuid.UUID) -> HttpResponse:
        def agree(approval: Approval) -> None:
            approvals.approve(approval_id=approval.pk, actor=request.user.get_username())
            messages.success(request, _("Approved and done."))

        asked = approvals.find_pending_for_saga(saga_id=saga_id)
        return approval_pages.decide(request, self, asked, back=reverse(PAGE, args=[saga_id]), agree=agree)

    def _situation(self, request: HttpRequest, saga_id: str) -> dict[str, Any]:
        found = saga_inspection.load_saga_and_operations(saga_id=saga_id)
        if found is None:
            return {}
        saga, operations = found
        forbidden = "" if self.has_operate_permission(request) else _("You may look at sagas only.")
        approval = approvals.find_pending_for_saga(saga_id=saga.id)
        if approval is not None:
            forbidden = forbidden or _("An operation on it waits for a second person already.")
        return {
            "title": f"{saga.definition} {saga.business_id}",
            "subtitle": None,
            "saga_operations": [
                self._offer(saga, operation, forbidden or why_not)
                for operation, why_not in operations.items()
            ],
            **approval_pages.offer(request, approval, decide_url=reverse(DECIDE, args=[saga.id])),
            "approval_effects": effects(saga, Operation(approval.operation), approval.result)
            if approval
            else [],
            "download_url": reverse(DOWNLOAD, args=[saga.id]),
            **saga_page.picture(saga),
        }

    def _offer(self, saga: SagaView, operation: Operation, why_not: str) -> dict[str, Any]:
        offer: dict[str, Any] = {
            "operation": operation,
            "label": operation.label,
            "meaning": MEANINGS[operation],
            "why_not": why_not,
            "url": operation_url(operation, [saga.id]),
        }
        if why_not:
            return offer
        form = OperationForm(operation, [saga])
        if operation == Operation.SKIP_STEP:
            form["result"].help_text = saga_operations.result_help(saga_id=saga.id)
        return {
            **offer,
            "form": form,
            "action": reverse(OPERATE, args=[operation.value]),
            "effects": effects(saga, operation),
            "seen": f"{saga.id}:{saga.revision}",
        }

    def operate_view(self, request: HttpRequest, name: str) -> HttpResponse:
        if not (self.has_view_permission(request) and self.has_operate_permission(request)):
            raise PermissionDenied
        if name not in Operation.values:
            raise Http404
        operation = Operation(name)
        if request.method != "POST":
            ids = _fitting(operation, [_uuid(each) for each in request.GET.getlist("id")])
            sagas = saga_inspection.load_sagas(ids=ids[:AT_ONCE])
            return self._page(request, operation, OperationForm(operation, sagas), sagas)
        seen = dict(_seen(each) for each in request.POST.getlist("seen"))
        sagas = saga_inspection.load_sagas(ids=_fitting(operation, list(seen))[:AT_ONCE])
        form = OperationForm(operation, sagas, request.POST)
        if not form.is_valid():
            return self._page(request, operation, form, sagas)
        given = form.cleaned_data
        answers = approvals.operate_each(
            operation=operation,
            seen=seen,
            actor=request.user.get_username(),
            why=ActionReason(given["reason"], given["reason_code"], given["ticket"]),
            result=given.get("result") or given.get("resolution", ""),
        )
        return self._answer(request, operation, form, answers)

    def _answer(
        self,
        request: HttpRequest,
        operation: Operation,
        form: OperationForm,
        answers: Mapping[uuid.UUID, OperationResult],
    ) -> HttpResponse:
        refused = {
            saga_id: answer for saga_id, answer in answers.items() if isinstance(answer, OperationRefused)
        }
        done = sum(isinstance(answer, Done) for answer in answers.values())
        asked = sum(isinstance(answer, Approval) for answer in answers.values())
        if done:
            told = _("%(operation)s: done for %(count)d.") % {"operation": operation.label, "count": done}
            messages.success(request, told)
        if asked:
            told = _("%(operation)s: %(count)d waits for a second person, because of the amount.")
            messages.warning(request, told % {"operation": operation.label, "count": asked})
        if refused:
            sagas = saga_inspection.load_sagas(ids=list(refused))
            again = OperationForm(operation, sagas, form.data)
            again.is_valid()
            return self._page(request, operation, again, sagas, refused, status=409)
        url = reverse(PAGE, args=list(answers)) if len(answers) == 1 else reverse(LIST)
        return HttpResponseRedirect(url)

    def _page(
        self,
        request: HttpRequest,
        operation: Operation,
        form: OperationForm,
        found: Sequence[SagaView],
        refused: Mapping[uuid.UUID, OperationRefused] | None = None,
        *,
        status: int = 200,
    ) -> HttpResponse:
        """Each saga as it is now, with the revision that the next press of the button will be decided on."""
        if not found:
            raise Http404
        if "result" in form.fields:
            form["result"].help_text = saga_operations.result_help(saga_id=found[0].id)
        sagas = [
            {
                "saga": saga,
                "place": describe_progress(saga),
                "waits_for": describe_wait(saga),
                "effects": effects(saga, operation),
                "url": reverse(PAGE, args=[saga.id]),
                "why_not": allowed(saga)[operation],
                "refused": (refused or {}).get(saga.id),
            }
            for saga in found
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": operation.label,
            "meaning": MEANINGS[operation],
            "form": form,
            "sagas": sagas,
            "can_be_done": any(not row["why_not"] for row in sagas),
        }
        return TemplateResponse(request, "backoffice/saga_operation.html", context, status=status)


def _fitting(operation: Operation, ids: list[uuid.UUID]) -> list[uuid.UUID]:
    if not ids or (operation == Operation.SKIP_STEP and len(ids) > 1):
        raise Http404
    return ids


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise Http404 from error


def _seen(text: str) -> tuple[uuid.UUID, int]:
    """`id:revision`, from the hidden fields of the page."""
    saga_id, _colon, revision = text.partition(":")
    if not revision.isdecimal() or len(revision) > 18:
        raise Http404
    return _uuid(saga_id), int(revision)
