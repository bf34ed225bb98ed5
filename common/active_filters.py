"""The filters that narrow a list, for the labels above it, and those that name something unknown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.views.main import SEARCH_VAR
from django.utils.text import capfirst
from django.utils.translation import gettext as _


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """`remove_url` is empty where the filter cannot be removed."""

    label: str
    value: str
    remove_url: str


def list_active(changelist: Any) -> list[ActiveFilter]:
    return list(_iterate_active(changelist))


def _iterate_active(changelist: Any) -> Iterator[ActiveFilter]:
    if changelist.query:
        yield ActiveFilter(_("Search"), changelist.query, changelist.get_query_string(remove=[SEARCH_VAR]))
    for spec in changelist.filter_specs:
        inputs = getattr(spec, "inputs", None)
        if inputs is not None:
            for each in inputs:
                if value := spec.value(each.parameter):
                    remove = changelist.get_query_string(remove=[each.parameter])
                    label = (
                        f"{capfirst(str(spec.title))}: {each.label}" if len(inputs) > 1 else str(each.label)
                    )
                    yield ActiveFilter(label, value.replace("T", " "), remove)
        elif given := _given(spec):
            # The label of the environment that the switch sets has no ×: the list would show it again.
            is_scope = getattr(spec, "is_scope", False)
            remove = "" if is_scope else changelist.get_query_string(remove=list(given))
            yield ActiveFilter(capfirst(str(spec.title)), _chosen(spec, changelist) or _values(given), remove)


def find_unknown(changelist: Any) -> Sequence[str]:
    """Returns a sentence for each filter whose value the list does not know. Such a list shows nothing."""
    found = []
    for spec in changelist.filter_specs:
        inputs = getattr(spec, "inputs", None)
        if inputs is not None:
            labels = {each.parameter: each.label for each in inputs}
            found += [(labels[name], spec.value(name)) for name in spec.invalid]
        elif (given := _given(spec)) and not _chosen(spec, changelist):
            found.append((capfirst(str(spec.title)), _values(given)))
    return [
        _("%(field)s: “%(value)s” is unknown. Remove or correct this filter.")
        % {"field": label, "value": value[:50]}
        for label, value in found
    ]


def _given(spec: Any) -> dict[str, Any]:
    """The parameters of the address that this filter took."""
    return {name: value for name, value in spec.used_parameters.items() if value not in (None, "", [""])}


def _values(given: dict[str, Any]) -> str:
    values = [each for value in given.values() for each in (value if isinstance(value, list) else [value])]
    return ", ".join(str(each) for each in values)


def _chosen(spec: Any, changelist: Any) -> str:
    """The label of the chosen value; empty when it is none of the values that the filter offers."""
    chosen = [str(choice["display"]) for choice in spec.choices(changelist) if choice.get("selected")]
    return ", ".join(chosen)
