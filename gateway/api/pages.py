"""One page of a list of payments, refunds or disputes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _

from common.api.envelope import success
from common.api.http import respond
from common.api.pagination import IndexPrefix, filter_created_range, load_page, page_body

M = TypeVar("M", bound=Model)


def respond_with_page(
    rows: QuerySet[M],
    query: Mapping[str, Any],
    *,
    filters: Mapping[str, str],
    body_of: Callable[[M], dict[str, Any]],
    index_prefix: IndexPrefix | None = None,
) -> HttpResponse:
    """Filters `rows` by the query parameters that are given, and answers with one page.

    `filters` maps each query parameter to the field that it filters by.
    """
    chosen = {field: query[parameter] for parameter, field in filters.items() if parameter in query}
    rows = filter_created_range(rows.filter(**chosen), query)
    page = load_page(rows, cursor=query.get("cursor"), limit=query["limit"], index_prefix=index_prefix)
    return respond(success(page_body(page, body_of), message=_("Success")))
