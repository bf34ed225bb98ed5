"""The pages of disputes and evidence: staff write the draft of a response, submit it, or accept the dispute."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction, Performed, ReasonForm
from backoffice.object_pages.dispute import build_dispute_page
from backoffice.services import dispute_operations
from channels.base import EvidenceRules
from common.errors import OperationRefused
from gateway.admin import DisputeAdmin, EvidenceFileAdmin
from gateway.models import Dispute, DisputeResponse, EvidenceFile, ResponseKind, ResponseStatus
from gateway.services.dispute_evidence import find_draft, find_evidence_rules, find_obstacle
from staff.roles import Permission

admin.site.unregister([Dispute, EvidenceFile])

OBSTACLES = {
    "closed": gettext_lazy("The dispute is closed."),
    "submitted": gettext_lazy("A response was submitted already."),
    "past_due": gettext_lazy("The due date is over."),
    "in_progress": gettext_lazy("A response is being submitted."),
}


class _EvidenceForm(ReasonForm):
    """The names of the fields are those of the channel's API."""

    field = forms.ChoiceField(label=gettext_lazy("Field"))

    def __init__(self, data: Any = None, *, rows: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(data, rows=rows, **kwargs)
        rules = find_evidence_rules(rows[0]) if rows else None
        names = self.list_fields(rules) if rules else ()
        self.fields["field"].choices = [(name, name) for name in sorted(names)]  # type: ignore[attr-defined]

    def list_fields(self, rules: EvidenceRules) -> Sequence[str]:
        raise NotImplementedError


class EvidenceTextForm(_EvidenceForm):
    text = forms.CharField(
        label=gettext_lazy("Text"),
        help_text=gettext_lazy("Replaces the text of this field. Empty: removes it."),
        widget=forms.Textarea,
        required=False,
        strip=True,
    )

    def list_fields(self, rules: EvidenceRules) -> Sequence[str]:
        return tuple(rules.text_fields)


class EvidenceFileForm(_EvidenceForm):
    file = forms.FileField(
        label=gettext_lazy("File"),
        max_length=255,
        help_text=gettext_lazy("PDF, JPEG or PNG, at most 3.5 MiB. Replaces the file of this field."),
    )

    def list_fields(self, rules: EvidenceRules) -> Sequence[str]:
        return tuple(rules.file_fields)


def _find_answer_obstacle(dispute: Dispute) -> str:
    if find_evidence_rules(dispute) is None:
        return _("This channel takes responses only on its own pages.")
    reason = find_obstacle(dispute)
    return str(OBSTACLES[reason]) if reason else ""


def _find_submit_obstacle(dispute: Dispute) -> str:
    draft = find_draft(dispute)
    if draft is None or not (draft.texts or draft.files.exists()):
        return _find_answer_obstacle(dispute) or _("There is no evidence yet.")
    return _find_answer_obstacle(dispute)


def _list_draft_facts(dispute: Dispute) -> list[tuple[str, str]]:
    draft = find_draft(dispute)
    if draft is None:
        return [(_("Draft"), "—")]
    files = draft.files.order_by("field")
    return [
        (_("Texts"), ", ".join(sorted(draft.texts)) or "—"),
        (_("Files"), ", ".join(f"{file.field}: {file.original_name}" for file in files) or "—"),
    ]


def _set_text(actor: User, dispute: Dispute, data: dict[str, Any]) -> None:
    dispute_operations.set_evidence_text(dispute=dispute, actor=actor.get_username(), **data)


def _add_file(actor: User, dispute: Dispute, data: dict[str, Any]) -> None:
    dispute_operations.add_evidence_file(
        dispute=dispute,
        field=data["field"],
        name=data["file"].name,
        content=data["file"].read(),
        actor=actor.get_username(),
        reason=data["reason"],
    )


def _answer(kind: ResponseKind) -> Callable[[User, Dispute, dict[str, Any]], Performed]:
    def perform(actor: User, dispute: Dispute, data: dict[str, Any]) -> Performed:
        response = dispute_operations.respond_to_dispute(
            dispute=dispute, kind=kind, actor=actor.get_username(), reason=data["reason"]
        )
        return _describe_answer(response)

    return perform


def _describe_answer(response: DisputeResponse) -> Performed:
    if response.status == ResponseStatus.SUBMITTED:
        return Performed(_("Submitted. The channel reports the outcome."))
    if response.status == ResponseStatus.FAILED:
        text = _("The channel has not taken the response: %(why)s")
        return Performed(text % {"why": response.failure_message or response.failure_code}, messages.ERROR)
    return Performed(_("Being submitted: the channel's answer is not known yet. Reload this page."))


@admin.register(Dispute)
class DisputePageAdmin(ActionsAdmin, DisputeAdmin):  # type: ignore[misc]  # unfold's mixins
    list_select_related = ("payment", "merchant")  # type: ignore[assignment]
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = "backoffice/object_page.html"

    def page_context(self, request: HttpRequest, row: Dispute) -> dict[str, Any]:
        return {"page": build_dispute_page(row)}

    staff_actions = (
        AdminAction(
            "submit",
            gettext_lazy("Submit the evidence"),
            gettext_lazy("The bank takes evidence once. It cannot be undone."),
            Permission.ANSWER_DISPUTES,
            _answer(ResponseKind.EVIDENCE),
            find_obstacle=_find_submit_obstacle,
            list_facts=_list_draft_facts,
            is_destructive=True,
        ),
        AdminAction(
            "evidence",
            gettext_lazy("Write evidence"),
            gettext_lazy("Changes the draft. Nothing is sent to the bank."),
            Permission.ANSWER_DISPUTES,
            _set_text,
            EvidenceTextForm,
            find_obstacle=_find_answer_obstacle,
            list_facts=_list_draft_facts,
        ),
        AdminAction(
            "evidence-file",
            gettext_lazy("Add a file"),
            gettext_lazy("Changes the draft. Nothing is sent to the bank."),
            Permission.ANSWER_DISPUTES,
            _add_file,
            EvidenceFileForm,
            find_obstacle=_find_answer_obstacle,
            list_facts=_list_draft_facts,
        ),
        AdminAction(
            "accept",
            gettext_lazy("Accept the dispute"),
            gettext_lazy("The dispute is lost, and the money stays with the customer. It cannot be undone."),
            Permission.ANSWER_DISPUTES,
            _answer(ResponseKind.ACCEPTANCE),
            find_obstacle=_find_answer_obstacle,
            is_destructive=True,
        ),
    )


def _download(actor: User, file: EvidenceFile, data: dict[str, Any]) -> HttpResponse:
    """Never shown in the browser: a document may contain scripts."""
    try:
        read, content = dispute_operations.read_evidence(
            file_id=file.pk, actor=actor.get_username(), reason=data["reason"]
        )
    except OSError as error:
        raise OperationRefused(_("The storage of files does not have it, or does not answer.")) from error
    return HttpResponse(
        content,
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": content_disposition_header(True, read.original_name) or "attachment",
            "Cache-Control": "no-store",
        },
    )


@admin.register(EvidenceFile)
class EvidenceFilePageAdmin(ActionsAdmin, EvidenceFileAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "download",
            gettext_lazy("Download"),
            gettext_lazy("The download is recorded in the audit log with your name."),
            Permission.ANSWER_DISPUTES,
            _download,
        ),
    )
