"""Tags of lists (`templates/office/list.html`)."""

import datetime as dt
from typing import Any

from django import template
from django.utils import timezone

from common.list_order import list_sortable_columns
from common.time_zones import list_zones

register = template.Library()


@register.simple_tag
def sort_of(changelist: Any, header: dict[str, Any]) -> dict[str, str] | None:
    """The link that sorts by this column, and the order that it has now; None for a column without an index."""
    names = str(header.get("class_attrib", "")).replace('class="', " ").replace('"', " ").split()
    column = next((name.removeprefix("column-") for name in names if name.startswith("column-")), "")
    if column not in list_sortable_columns(changelist.model):
        return None
    sort = changelist.sort
    is_here = sort.column == column
    following = column if is_here and sort.is_descending else f"-{column}"
    order = ("descending" if sort.is_descending else "ascending") if is_here else ""
    return {"url": changelist.get_query_string({"sort": following}), "order": order}


@register.simple_tag
def recent_days() -> list[tuple[int, str]]:
    """Days and the first day of each range: today, a week, a month."""
    today = timezone.localdate()
    return [(days, str(today - dt.timedelta(days=days - 1))) for days in (1, 7, 30)]


@register.simple_tag
def with_days(changelist: Any, first: str) -> str:
    """The address of the list from this day on."""
    address: str = changelist.get_query_string({"created_from": first}, ["created_to"])
    return address


@register.simple_tag
def top_filters(changelist: Any) -> dict[str, Any]:
    """The inputs above the list, and what the form has to keep of the address."""
    shown = [spec for spec in changelist.filter_specs if getattr(spec, "is_on_top", False)]
    inputs = [(spec, each) for spec in shown for each in spec.inputs]
    names = {each.parameter for _spec, each in inputs}
    kept = [
        (name, value)
        for name, values in changelist.filter_params.items()
        if name not in names
        for value in values
    ]
    fields = [field for spec in shown for choice in spec.choices(changelist) for field in choice["fields"]]
    return {"fields": fields, "kept": kept, "has_days": "created_from" in names}


@register.simple_tag
def zone_name() -> str:
    zone = timezone.get_current_timezone()
    return str(getattr(zone, "key", "UTC"))


@register.simple_tag
def zone_names() -> tuple[str, ...]:
    return list_zones()
