"""The declaration of an admin action: its name, who may do it, what it asks for and which service performs it.

`ActionsAdmin` (backoffice/actions/admin.py) gives each declared action its address, its button, its page or dialog and
its messages. docs/guides/add-an-admin-action.md shows how to add one.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.admin_forms import with_theme_widgets
from staff.roles import Permission


class Scope(enum.Enum):
    """The rows that an action is about. The address follows from it."""

    LIST = "no row: a button above the list, <name>/"
    ROW = "one row: a button on its page, <id>/<name>/"
    ROWS = "one row or a selection of the list, each as it was seen: operate/<name>/?id=…"


class ReasonForm(forms.Form):
    """Asks for a reason. `rows` are the objects that the action is about."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=2000,
        widget=forms.Textarea,
        help_text=_("Recorded in the audit log with your name."),
    )

    def __init__(self, data: Any = None, *, rows: Sequence[Any] = (), **kwargs: Any) -> None:
        self.rows = rows
        super().__init__(data, **kwargs)
        if self.field_order is None:
            self.order_fields([*(name for name in self.fields if name != "reason"), "reason"])


@dataclass(frozen=True, slots=True)
class Performed:
    """The action ran; `message` replaces the usual one. `level` is one of Django's message levels: the action may have
    been refused by the channel, or its outcome may not be known yet."""

    message: str
    level: int = messages.SUCCESS


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """The action is done and its answer is shown once: `rows` of a label and a secret."""

    title: str
    rows: Sequence[tuple[str, str]]
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """Nothing is done yet: a second person must approve it. `message` says so."""

    message: str


# Arguments: the signed-in user, the row (None for Scope.LIST) and the checked form; for Scope.ROWS the form's data also
# has `seen_revision`. Raises `OperationRefused` or `ApiError`.
Result = Performed | ShownOnce | ApprovalRequested | HttpResponseBase | None
Perform = Callable[[User, Any, dict[str, Any]], Result]


def _no_obstacle(_row: Any) -> str:
    return ""


def _nothing(_row: Any) -> Sequence[Any]:
    return ()


@dataclass(frozen=True, slots=True)
class ChoiceEffects:
    """The effects of an action for one choice of its form."""

    value: str
    label: str | Promise
    effects: Sequence[str]


DONE_MESSAGE = _("%(operation)s: done for %(count)d.")
STARTED_MESSAGE = _(
    "%(operation)s: started for %(count)d. A worker continues each saga; its page shows the outcome."
)


def _no_initial(_row: Any) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class AdminAction:
    """`find_obstacle` returns why the action is unavailable for a row, or an empty text. `describe_effects` says what
    it will do; `list_facts` returns labels and values to know before. `waits_for_approval`: unavailable while an
    approval for the row is pending. `is_dialog`: the form is also a dialog on the row's page. `is_bulk`: also offered
    for a selection of the list. `is_destructive`: cannot be undone, and has a red button. `describe_choices`: what
    it will do for each choice of the field `choice_field`. `rows_message`: what staff read after an action on rows."""

    name: str
    label: str | Promise
    description: str | Promise
    permission: Permission
    perform: Perform
    form: type[ReasonForm] = ReasonForm
    scope: Scope = Scope.ROW
    find_obstacle: Callable[[Any], str] = _no_obstacle
    initial: Callable[[Any], Mapping[str, Any]] = _no_initial
    describe_effects: Callable[[Any], Sequence[str]] = _nothing
    list_facts: Callable[[Any], Sequence[tuple[str, str]]] = _nothing
    waits_for_approval: bool = False
    is_dialog: bool = False
    is_bulk: bool = False
    is_destructive: bool = False
    choice_field: str = ""
    describe_choices: Callable[[Any], Sequence[ChoiceEffects]] = _nothing
    rows_message: str | Promise = DONE_MESSAGE

    def build_form(
        self,
        rows: Sequence[Any],
        data: Any = None,
        initial: Mapping[str, Any] | None = None,
        *,
        files: Any = None,
    ) -> ReasonForm:
        given = {**(initial or {}), **(self.initial(rows[0]) if rows else {})}
        form = self.form(data, files=files, rows=rows, initial=given, auto_id=f"{self.name}_%s")
        return with_theme_widgets(form)
