"""Exports the rows that a list shows: by the list's own filters and search."""

from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.test import RequestFactory
from django.utils.http import urlencode

from common.admin_lists import NEWER, OLDER

LIST: Final = "list"  # the name of the list's query among the filters of an export
# Parameters of the page within the list, not of its rows.
PAGING: Final = (OLDER, NEWER, "p", "o", "all", "e")


class InvalidListQuery(Exception):
    """The list refuses this query."""


def list_query(kind: str, shown: QueryDict) -> str:
    """Returns `payments?status__exact=failed`; empty when the list shows all of its rows."""
    query = shown.copy()
    for name in PAGING:
        query.pop(name, None)
    for name in [name for name, values in query.lists() if not any(values)]:
        del query[name]
    return f"{kind}?{query.urlencode()}" if query else ""


def export_query(kind: str, shown: QueryDict) -> str:
    """Returns the query of the export page for the rows that the list shows."""
    as_shown = list_query(kind, shown)
    return urlencode({"kind": kind, **({LIST: as_shown} if as_shown else {})})


def list_kind(list_query: str) -> str:
    return list_query.partition("?")[0]


def list_rows(model: type[Model], list_query: str) -> QuerySet[Any]:
    """In no order. Raises `NoSuchList`.

    Whether somebody may see these rows is asked where the export is: no list shows different people different rows.
    """
    request = RequestFactory().get(f"/?{list_query.partition('?')[2]}")
    request.user = User(is_active=True, is_superuser=True)
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]  # the list reports invalid filters by a message
    try:
        shown = admin.site.get_model_admin(model).get_changelist_instance(request)
    except (IncorrectLookupParameters, SuspiciousOperation, ValidationError) as error:
        raise InvalidListQuery from error
    rows: QuerySet[Any] = shown.queryset.order_by().select_related(None)
    return rows
