"""Which environment a page shows: for the switch of the header and the band below it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import template
from django.contrib import admin
from django.template import Context

from merchants.models import BOTH_ENVIRONMENTS, Environment
from staff.preferences import get_shown_environment

register = template.Library()


@dataclass(frozen=True, slots=True)
class ShownEnvironment:
    """`chosen` is what the switch says. `shown` is what this page shows: an object of the other environment, a link
    that names one, or both."""

    chosen: str
    shown: str
    is_object: bool

    @property
    def other(self) -> str:
        return (Environment.LIVE if self.chosen == Environment.TEST else Environment.TEST).value

    @property
    def differs(self) -> bool:
        return self.shown != self.chosen


@register.simple_tag(takes_context=True)
def shown_environment(context: Context) -> ShownEnvironment:
    request = context["request"]
    preferences = getattr(request, "staff_preferences", None)
    chosen = preferences.environment if preferences is not None else ""
    of_object = _find_environment_of_rows(context.get("environment_rows") or [context.get("original")])
    return ShownEnvironment(chosen, of_object or get_shown_environment(request), bool(of_object))


def _find_environment_of_rows(rows: Iterable[Any]) -> str:
    """Of a page about one object or several."""
    found = {find_object_environment(row) for row in rows} - {""}
    return found.pop() if len(found) == 1 else BOTH_ENVIRONMENTS if found else ""


def find_object_environment(row: Any) -> str:
    """Returns an empty string for an object that belongs to none, such as a merchant."""
    page_admin: Any = admin.site._registry.get(type(row))
    if page_admin is None:  # such as the view of a saga, which has its task queue
        environment = getattr(row, "environment", "") or getattr(row, "task_queue", "")
        return environment if environment in Environment.values else ""
    found: str = page_admin.read_environment(row)
    return found
