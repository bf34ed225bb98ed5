"""The columns of a list: those that the admin declares, and further fields that a person may add."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import label_for_field
from django.db.models import BooleanField, CharField, DateTimeField, Field, IntegerField, Model
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from common import time_zones
from common.secret_columns import secret_columns

# Shown by a column of the same meaning: the label of a status, an amount with its currency.
SHOWN_OTHERWISE = frozenset({"status", "state", "environment", "needs_attention", "currency", "metadata"})
MAX_FIELD_LENGTH = 255  # addresses and texts would make every row high


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    name: str
    label: str
    is_shown: bool


def list_choices(model_admin: Any, shown: Sequence[Any]) -> list[ColumnChoice]:
    """The declared columns in their order, then the fields that can be added."""
    names = [_name(column) for column in shown]
    return [
        ColumnChoice(
            name, capfirst(str(label_for_field(name, model_admin.model, model_admin))), name in names
        )
        for name in list_names(model_admin)
    ]


def list_names(model_admin: Any) -> list[str]:
    declared = [name for name in model_admin.list_display if isinstance(name, str)]
    model = model_admin.model
    hidden = {*declared, *secret_columns(model), *(model_admin.exclude or ()), *SHOWN_OTHERWISE}
    return declared + [field.name for field in model._meta.concrete_fields if _can_be_added(field, hidden)]


def build_columns(model_admin: Any, names: Sequence[Any]) -> list[Any]:
    """Unknown names are left out: a column of a saved choice may not exist any more. The first declared column stays,
    because it links to the object. Times become relative."""
    known = list_names(model_admin)
    first = model_admin.list_display[0]
    wanted = [first, *(name for name in names if name in known and name != first)]
    return [_as_column(model_admin.model, name) for name in wanted]


def _can_be_added(field: "Field[Any, Any]", hidden: set[str]) -> bool:
    if field.name in hidden or field.primary_key or field.name.endswith(("_minor", "_token")):
        return False
    if isinstance(field, CharField):
        return (field.max_length or MAX_FIELD_LENGTH + 1) <= MAX_FIELD_LENGTH
    return isinstance(field, DateTimeField | BooleanField | IntegerField)


def _name(column: Any) -> str:
    return column if isinstance(column, str) else column.__name__


def _as_column(model: type[Model], name: str) -> str | Callable[[Any], SafeString | str]:
    field = next((each for each in model._meta.concrete_fields if each.name == name), None)
    return _moment_column(field) if isinstance(field, DateTimeField) else name


def _moment_column(field: "DateTimeField[Any, Any]") -> Callable[[Any], SafeString | str]:
    name = field.name

    def column(row: Any) -> SafeString | str:
        return show_moment(getattr(row, name))

    column.__name__ = name
    column.short_description = field.verbose_name  # type: ignore[attr-defined]
    return column


def show_moment(value: dt.datetime | None) -> SafeString | str:
    """Relative within a day, with the exact time in the reader's zone on hover and for screen readers; `—` for no
    time."""
    if value is None:
        return "—"
    exactly = time_zones.format_exactly(value)
    return format_html(
        '<time datetime="{}" title="{}">{}<span class="office-unseen"> ({})</span></time>',
        value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        exactly,
        time_zones.format_relatively(value, timezone.now()),
        exactly,
    )
