"""Preferences of members of staff for the back office: environment, time zone, columns of lists, saved views."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext as _

from common.db import violates
from common.errors import OperationRefused, UnknownObject
from common.time_zones import find_zone
from merchants.models import BOTH_ENVIRONMENTS, Environment
from staff.models import SavedView, StaffPreferences

MAX_VIEWS = 50  # of one person in one list
MAX_COLUMNS = 30


@dataclass(frozen=True, slots=True)
class Preferences:
    """`zone` is None for the browser's. `columns` has the lists whose columns the person has chosen. `environment` is
    the one that the switch of the header shows."""

    zone_name: str = ""
    zone: dt.tzinfo | None = None
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    user_id: int | None = None
    environment: str = ""

    def list_views(self, list_name: str) -> Sequence["ShownView"]:
        return list_views(user_id=self.user_id, list_name=list_name) if self.user_id is not None else ()


@dataclass(frozen=True, slots=True)
class ShownView:
    id: uuid.UUID
    name: str
    query: str
    is_shared: bool
    is_own: bool
    owner: str


def get_shown_environment(request: HttpRequest, *, can_be_both: bool = True) -> str:
    """Returns what a page shows: `test`, `live` or `all` as the address says, else what the switch says. It is empty
    on pages without a person, such as the sign-in."""
    named = request.GET.get("environment", "")
    if named in Environment.values or (can_be_both and named == BOTH_ENVIRONMENTS):
        return named
    chosen: Preferences | None = getattr(request, "staff_preferences", None)
    return chosen.environment if chosen is not None else ""


def list_shown_environments(request: HttpRequest) -> list[str]:
    """Returns one environment, or both."""
    shown = get_shown_environment(request)
    return list(Environment.values) if shown == BOTH_ENVIRONMENTS else [shown]


def load_preferences(user: User) -> Preferences:
    """Without a statement when `StaffBackend` has read the user."""
    row: StaffPreferences | None = getattr(user, "preferences", None)  # none without a row
    if row is None:
        return Preferences(user_id=user.pk, environment=_default_environment())
    environment = row.environment or _default_environment()
    return Preferences(row.time_zone, find_zone(row.time_zone), row.list_columns, user.pk, environment)


def _default_environment() -> str:
    return (Environment.TEST if settings.LOCAL_STACK else Environment.LIVE).value


def save_environment(*, user_id: int, environment: str) -> None:
    """Raises `OperationRefused` for an unknown environment."""
    if environment not in Environment.values:
        raise OperationRefused(_("There is no environment “%(name)s”.") % {"name": environment[:50]})
    StaffPreferences.objects.update_or_create(user_id=user_id, defaults={"environment": environment})


def save_time_zone(*, user_id: int, time_zone: str) -> None:
    """Empty: the browser's. Raises `OperationRefused` for an unknown zone."""
    if time_zone and find_zone(time_zone) is None:
        raise OperationRefused(_("There is no time zone “%(name)s”.") % {"name": time_zone[:50]})
    StaffPreferences.objects.update_or_create(user_id=user_id, defaults={"time_zone": time_zone})


def save_columns(*, user_id: int, list_name: str, columns: Sequence[str]) -> None:
    """An empty sequence restores the list's own columns. The caller has checked the names."""
    with transaction.atomic():
        StaffPreferences.objects.get_or_create(user_id=user_id)
        row = StaffPreferences.objects.select_for_update().get(user_id=user_id)
        row.list_columns.pop(list_name, None)
        if columns:
            row.list_columns[list_name] = list(columns)[:MAX_COLUMNS]
        row.save(update_fields=["list_columns"])


def list_views(*, user_id: int, list_name: str) -> list[ShownView]:
    """The person's own views of a list, then those that others share."""
    rows = (
        SavedView.objects.filter(Q(owner_id=user_id) | Q(is_shared=True), list_name=list_name)
        .select_related("owner")
        .order_by("name", "pk")[: 2 * MAX_VIEWS]
    )
    views = [
        ShownView(
            row.pk, row.name, row.query, row.is_shared, row.owner_id == user_id, row.owner.get_username()
        )
        for row in rows
    ]
    return sorted(views, key=lambda view: not view.is_own)


def save_view(*, owner_id: int, list_name: str, name: str, query: str, is_shared: bool) -> None:
    """Raises `OperationRefused` when the person already has a view of this name, or too many."""
    if SavedView.objects.filter(owner_id=owner_id, list_name=list_name).count() >= MAX_VIEWS:
        raise OperationRefused(
            _("You have %(count)d views of this list. Delete one first.") % {"count": MAX_VIEWS}
        )
    view = SavedView(owner_id=owner_id, list_name=list_name, name=name, query=query, is_shared=is_shared)
    _write(view)


def change_view(*, owner_id: int, view_id: uuid.UUID, name: str, is_shared: bool) -> None:
    """Renames a person's own view, and shares it or not. Raises `UnknownObject` and `OperationRefused`."""
    view = SavedView.objects.filter(pk=view_id, owner_id=owner_id).first()
    if view is None:
        raise UnknownObject(_("This view does not exist any more."))
    view.name, view.is_shared = name, is_shared
    _write(view)


def delete_view(*, owner_id: int, view_id: uuid.UUID) -> None:
    """Deletes a person's own view. Idempotent."""
    SavedView.objects.filter(pk=view_id, owner_id=owner_id).delete()


def _write(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        if violates(error, "saved_view_name_once"):
            raise OperationRefused(_("You already have a view “%(name)s”.") % {"name": view.name}) from error
        raise
