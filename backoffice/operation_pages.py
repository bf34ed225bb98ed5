"""Pages on which staff do something: a form with a reason, one service call, and an answer.

An admin class lists its operations and gets, for each, an address of its own (so that the matrix of roles sees it), a
button on the object's page that says why it cannot be pressed, and the page itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from backoffice.exports.list_filters import LIST, list_query
from common.admin import ReadOnlyAdmin
from common.admin_forms import dressed
from common.errors import OperationRefused
from staff.roles import Permission, has_permission


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=forms.Textarea,
        help_text=_("Kept with your name in the history."),
    )
    in_order: ClassVar[Sequence[str]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([*(self.in_order or (name for name in self.fields if name != "reason")), "reason"])


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer that is shown once: `rows` of what it is and its text."""

    title: str
    rows: Sequence[tuple[str, str]]
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Requested:
    """Nothing was done yet: a second person must approve it. `text` says so."""

    text: str


# Given who asks, the object (None for what concerns none) and the checked form. Raises `OperationRefused`.
Perform = Callable[[Any, Any, dict[str, Any]], Shown | Requested | HttpResponseBase | None]


def _always(_row: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class StaffOperation:
    """`why_not` answers for an object why it cannot be done to it, or nothing."""

    name: str
    label: Promise
    meaning: Promise
    permission: Permission
    perform: Perform
    form: type[ReasonForm] = ReasonForm
    on_object: bool = True
    why_not: Callable[[Any], str] = _always
    initial: Callable[[Any], dict[str, Any]] | None = None


def _export_query(kind: str, shown: QueryDict) -> str:
    """Leads to an export of what the list shows."""
    as_shown = list_query(kind, shown)
    return urlencode({"kind": kind, **({LIST: as_shown} if as_shown else {})})


class OperableAdmin(ReadOnlyAdmin):
    operations: ClassVar[Sequence[StaffOperation]] = ()
    export_kind: ClassVar[str] = ""  # of backoffice/exports/kinds.py: the list then offers its export
    # Where the theme lets a page say something above its own form, or its list.
    change_form_outer_before_template = "staff/offers.html"  # type: ignore[assignment]
    list_before_template = "staff/offers.html"  # type: ignore[assignment]

    def get_urls(self) -> list[URLPattern]:
        return [*(self._address(operation) for operation in self.operations), *super().get_urls()]

    def _address(self, operation: StaffOperation) -> URLPattern:
        def view(request: HttpRequest, object_id: str | None = None) -> HttpResponseBase:
            return self._operate(request, operation, object_id)

        where = f"<path:object_id>/{operation.name}/" if operation.on_object else f"{operation.name}/"
        return path(where, self.admin_site.admin_view(never_cache(view)), name=self._name(operation))

    def _name(self, operation: StaffOperation) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{operation.name}"

    def _url(self, operation: StaffOperation, row: Model | None) -> str:
        return reverse(f"admin:{self._name(operation)}", args=[quote(row.pk)] if row else [])

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {**(extra_context or {}), "staff_operations": self._offers(request, None)}
        return super().changelist_view(request, context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Who has the row at hand gives its offers along."""
        context = dict(extra_context or {})
        if "staff_operations" not in context:
            row = self.get_object(request, unquote(object_id))
            context["staff_operations"] = self._offers(request, row) if row else []
        return super().change_view(request, object_id, form_url, context)

    def _offers(self, request: HttpRequest, row: Model | None) -> list[dict[str, Any]]:
        offers = [
            {
                "label": operation.label,
                "meaning": operation.meaning,
                "why_not": operation.why_not(row)
                if has_permission(request.user, operation.permission)
                else _("Your role does not have this."),
                "url": self._url(operation, row),
            }
            for operation in self.operations
            if operation.on_object == (row is not None)
        ]
        if self.export_kind and row is None and has_permission(request.user, Permission.EXPORT):
            url = f"{reverse('admin:exports_export_new')}?{_export_query(self.export_kind, request.GET)}"
            offers.append({"label": _("Export"), "meaning": _("As CSV."), "why_not": "", "url": url})
        return offers

    def _operate(
        self, request: HttpRequest, operation: StaffOperation, object_id: str | None
    ) -> HttpResponseBase:
        if not (self.has_view_permission(request) and has_permission(request.user, operation.permission)):
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id)) if object_id is not None else None
        if operation.on_object and row is None:
            raise Http404
        # A link may fill in the form: an export of the list that was looked at.
        initial = {**request.GET.dict(), **(operation.initial(row) if operation.initial else {})}
        form = dressed(operation.form(request.POST if request.method == "POST" else None, initial=initial))
        if request.method != "POST" or not form.is_valid():
            return self._ask(request, operation, row, form)
        try:
            answer = operation.perform(request.user, row, form.cleaned_data)
        except OperationRefused as refused:
            return self._ask(request, operation, row, form, refused=str(refused), status=409)
        if isinstance(answer, Shown):
            return self._show_once(request, operation, row, answer)
        if isinstance(answer, Requested):
            messages.warning(request, answer.text)
            return redirect(self._back(row))
        if answer is not None:
            return answer
        messages.success(request, _("%(operation)s: done.") % {"operation": operation.label})
        return redirect(self._back(row))

    def _ask(
        self,
        request: HttpRequest,
        operation: StaffOperation,
        row: Model | None,
        form: forms.Form,
        *,
        refused: str = "",
        status: int = 200,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": operation.label,
            "original": row,
            "meaning": operation.meaning,
            "form": form,
            "refused": refused,
            "why_not": operation.why_not(row) if row else "",
            "back": self._back(row),
        }
        return TemplateResponse(request, "staff/operation.html", context, status=status)

    def _show_once(
        self, request: HttpRequest, operation: StaffOperation, row: Model | None, shown: Shown
    ) -> HttpResponse:
        """In the answer itself: a redirect would need a place that keeps the secret until it is fetched."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": operation.label,
            "original": row,
            "shown": shown,
            "back": self._back(row),
        }
        response = TemplateResponse(request, "staff/shown_once.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _back(self, row: Model | None) -> str:
        model = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"{model}_change", args=[quote(row.pk)]) if row else reverse(f"{model}_changelist")
