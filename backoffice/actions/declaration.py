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


class ActionTarget(enum.StrEnum):
    """What an action works on. The place of its button and its address follow from it."""

    # No row, such as adding one: a button above the list, <name>/.
    LIST = "list"
    # One row: a button on its page, <id>/<name>/.
    ROW = "row"
    # One row or a selection of the list, each as it was seen: buttons at both, operate/<name>/?id=….
    ROWS = "rows"


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


# Arguments: the signed-in user, the row (None for `ActionTarget.LIST`) and the checked form. For `ActionTarget.ROWS`
# the form's data also has `seen_revision`. Raises `OperationRefused` or `ApiError`.
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
    """An action of staff: its button, its form, and the service that performs it."""

    name: str
    label: str | Promise
    description: str | Promise
    permission: Permission
    perform: Perform
    form: type[ReasonForm] = ReasonForm
    target: ActionTarget = ActionTarget.ROW
    # Why the action is unavailable for a row; empty when it is available.
    find_obstacle: Callable[[Any], str] = _no_obstacle
    # The first values of the form, for a row.
    initial: Callable[[Any], Mapping[str, Any]] = _no_initial
    # The effects of the action, and labels with values to know before.
    describe_effects: Callable[[Any], Sequence[str]] = _nothing
    list_facts: Callable[[Any], Sequence[tuple[str, str]]] = _nothing
    waits_for_approval: bool = False  # unavailable while an approval for the row is pending
    is_dialog: bool = False  # the form is also a dialog on the row's page
    is_bulk: bool = False  # also offered for a selection of the list
    is_destructive: bool = False  # cannot be undone, and has a red button
    # The field of the form whose choices have different effects, and the effects of each.
    choice_field: str = ""
    describe_choices: Callable[[Any], Sequence[ChoiceEffects]] = _nothing
    # The text that staff read after an action on rows.
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
