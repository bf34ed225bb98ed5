"""The saga pages with what staff may do: one page per operation, for one saga or for those chosen in the list."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, TextField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ops.renderers.saga_words import place, waits_for
from ops.services import saga_inspection, saga_operations
from sagas.admin import SagaInstanceAdmin
from sagas.availability import MEANINGS, Operation, allowed
from sagas.models import SagaInstance
from sagas.operations import OperationRefused

AT_ONCE = 50  # sagas on one page: as many as a page of the list has, and a link can name
LIST = "admin:sagas_sagainstance_changelist"
PAGE = "admin:sagas_sagainstance_change"
OPERATE = "admin:sagas_sagainstance_operate"

Answers = Mapping[uuid.UUID, OperationRefused | None]
ListAction = Callable[[Any, HttpRequest, QuerySet[SagaInstance]], HttpResponse]


class OperationForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=2000,
        help_text=gettext_lazy("Kept with your name in the history."),
    )
    result = forms.CharField(label=gettext_lazy("Result of the step (JSON)"))

    def __init__(self, operation: Operation, widget: type[forms.Widget], data: Any = None) -> None:
        super().__init__(data)
        if operation != Operation.SKIP_STEP:
            del self.fields["result"]
        for field in self.fields.values():
            field.widget = widget(attrs={"rows": 3})


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
class OperableSagaAdmin(SagaInstanceAdmin):
    change_form_template = "ops/saga_page.html"
    # One result fits one step: skipping is offered on the saga's own page alone.
    actions = [list_action(operation) for operation in Operation if operation != Operation.SKIP_STEP]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sagas.operate_sagainstance")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.operate_view)
        return [path("operate/<str:name>/", view, name="sagas_sagainstance_operate"), *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), **self._situation(request, unquote(object_id))}
        return super().change_view(request, object_id, form_url, context)

    def _situation(self, request: HttpRequest, saga_id: str) -> dict[str, Any]:
        found = saga_inspection.situation(saga_id=saga_id)
        if found is None:
            return {}
        saga, operations = found
        forbidden = "" if self.has_operate_permission(request) else _("You may look at sagas only.")
        rows = [
            {
                "label": operation.label,
                "meaning": MEANINGS[operation],
                "why_not": forbidden or why_not,
                "url": operation_url(operation, [saga.id]),
            }
            for operation, why_not in operations.items()
        ]
        return {"saga_operations": rows, "waits_for": waits_for(saga)}

    def operate_view(self, request: HttpRequest, name: str) -> HttpResponse:
        if not (self.has_view_permission(request) and self.has_operate_permission(request)):
            raise PermissionDenied
        if name not in Operation.values:
            raise Http404
        operation = Operation(name)
        overrides: Mapping[Any, Any] = self.formfield_overrides
        widget = overrides[TextField]["widget"]  # as the theme draws it
        if request.method != "POST":
            ids = _fitting(operation, [_uuid(each) for each in request.GET.getlist("id")])
            return self._page(request, operation, OperationForm(operation, widget), ids)
        form = OperationForm(operation, widget, request.POST)
        seen = dict(_seen(each) for each in request.POST.getlist("seen"))
        ids = _fitting(operation, list(seen))
        if not form.is_valid():
            return self._page(request, operation, form, ids)
        answers = saga_operations.operate_each(
            operation=operation, seen=seen, actor=request.user.get_username(), **form.cleaned_data
        )
        return self._answer(request, operation, form, answers)

    def _answer(
        self, request: HttpRequest, operation: Operation, form: OperationForm, answers: Answers
    ) -> HttpResponse:
        refused = {saga_id: answer for saga_id, answer in answers.items() if answer is not None}
        done = len(answers) - len(refused)
        if done:
            told = _("%(operation)s: done for %(count)d.") % {"operation": operation.label, "count": done}
            messages.success(request, told)
        if refused:
            return self._page(request, operation, form, list(refused), refused, status=409)
        url = reverse(PAGE, args=list(answers)) if len(answers) == 1 else reverse(LIST)
        return HttpResponseRedirect(url)

    def _page(
        self,
        request: HttpRequest,
        operation: Operation,
        form: OperationForm,
        ids: Sequence[uuid.UUID],
        refused: Answers | None = None,
        *,
        status: int = 200,
    ) -> HttpResponse:
        """Each saga as it is now, with the revision that the next press of the button will be decided on."""
        if "result" in form.fields:
            form["result"].help_text = saga_operations.result_help(saga_id=ids[0])
        sagas = [
            {
                "saga": saga,
                "place": place(saga),
                "waits_for": waits_for(saga),
                "url": reverse(PAGE, args=[saga.id]),
                "why_not": allowed(saga)[operation],
                "refused": (refused or {}).get(saga.id),
            }
            for saga in saga_inspection.pictures(ids=ids[:AT_ONCE])
        ]
        if not sagas:
            raise Http404
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": operation.label,
            "meaning": MEANINGS[operation],
            "form": form,
            "sagas": sagas,
            "can_be_done": any(not row["why_not"] for row in sagas),
        }
        return TemplateResponse(request, "ops/saga_operation.html", context, status=status)


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
