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

from common import admin_lists

LIST: Final = "list"  # the name of the list's query among the filters of an export
TIMES: Final = ("created_from", "created_to", "paid_from", "paid_to")


class InvalidListQuery(Exception):
    """The list refuses this query."""


def list_query(kind: str, shown: QueryDict) -> str:
    """Returns `payments?status__exact=failed`; empty when the list shows all of its rows.

    Its times have an offset, so that the rows do not depend on the zone in which the export is written.
    """
    query = QueryDict(admin_lists.list_query(shown), mutable=True)
    query.pop(admin_lists.SORT, None)
    for name in TIMES:
        if moment := admin_lists.parse_moment(query.get(name, ""), is_end=name.endswith("_to")):
            query[name] = moment.isoformat()
    return f"{kind}?{query.urlencode()}" if query else ""


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
        shown: Any = admin.site.get_model_admin(model).get_changelist_instance(request)
    except (IncorrectLookupParameters, SuspiciousOperation, ValidationError) as error:
        raise InvalidListQuery from error
    if shown.unknown_filters:
        raise InvalidListQuery
    rows: QuerySet[Any] = shown.queryset.order_by().select_related(None)
    return rows
