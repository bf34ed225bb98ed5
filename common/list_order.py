"""The orders that a list offers: columns whose index PostgreSQL can read in order, so that no table is sorted."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from common.secret_columns import secret_columns


@dataclass(frozen=True, slots=True)
class Sort:
    column: str
    is_descending: bool

    @property
    def parameter(self) -> str:
        return f"{'-' if self.is_descending else ''}{self.column}"


def default_sort(model_admin: Any) -> Sort:
    """The admin's `ordering` is one column, newest first."""
    first = (model_admin.ordering or ("-pk",))[0]
    is_column = isinstance(first, str) and first.startswith("-")
    return Sort(first.removeprefix("-") if is_column else "pk", is_descending=True)


def list_sortable_columns(model: type[Model]) -> frozenset[str]:
    """Columns without nulls that are unique, or that an index without a condition has alone. None with a secret: the
    order of the rows would reveal it."""
    secrets = set(secret_columns(model))
    fields = {
        field.name: field
        for field in model._meta.concrete_fields
        if not (field.null or field.is_relation or field.name in secrets or field.name.endswith("_token"))
    }
    found = {name for name, field in fields.items() if field.unique and not field.primary_key}
    for index in model._meta.indexes:
        if index.condition is None and len(index.fields) == 1 and not index.opclasses:
            found.add(index.fields[0].removeprefix("-"))
    return frozenset(found & fields.keys())


def parse_sort(model_admin: Any, text: str) -> Sort | None:
    """Returns None for a column that the list cannot be sorted by."""
    if not text:
        return default_sort(model_admin)
    column = text.removeprefix("-")
    if column not in list_sortable_columns(model_admin.model):
        return None
    return Sort(column, text.startswith("-"))
