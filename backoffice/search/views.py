"""The search of the header: the list below the box while a person types, and the page with all results."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from backoffice.search.finder import SearchResults, find_only_exact, search
from backoffice.search.statements import MAX_FOUND, find_ids
from backoffice.search.terms import parse_term
from merchants.models import BOTH_ENVIRONMENTS, Environment, Merchant
from staff.preferences import get_shown_environment

MERCHANT_SOURCES = ("merchant_name", "merchant_email")
SUGGESTIONS = 10


@require_GET
def find(request: HttpRequest) -> HttpResponse:
    """Redirects to the object that the term names in full. With `part`, answers only the short list of results."""
    term = request.GET.get("q", "").strip()
    shown = get_shown_environment(request)
    environment = "" if shown == BOTH_ENVIRONMENTS else shown
    if "part" in request.GET:
        groups = search(request, term, environment=environment)
        context = {"groups": groups, "term": term, **_count_others(groups, environment)}
        return TemplateResponse(request, "office/found.html", context)
    groups = search(request, term, environment=environment, shown=MAX_FOUND)
    if address := find_only_exact(groups):
        return redirect(address)
    context = {
        **admin.site.each_context(request),
        "title": _("Search"),
        "groups": groups,
        "term": term,
        "find_term": term,
        "environments": [*Environment.choices, (BOTH_ENVIRONMENTS, _("Test and live"))],
        "environment": shown,
        **_count_others(groups, environment),
    }
    return TemplateResponse(request, "office/find_page.html", context)


def _count_others(groups: Sequence[SearchResults], environment: str) -> dict[str, Any]:
    """Counts the results of the other environment."""
    other = Environment.LIVE if environment == Environment.TEST else Environment.TEST
    return {
        "groups": [group for group in groups if group.results],
        "others": sum(group.others for group in groups),
        "other_environment": other,
    }


@require_GET
def suggest_merchants(request: HttpRequest) -> JsonResponse:
    """Merchants whose name or e-mail begins with the term, for the filter of lists."""
    term = parse_term(request.GET.get("q", ""))
    model_admin = admin.site.get_model_admin(Merchant)
    found: list[dict[str, str]] = []
    if term is not None and model_admin.has_view_permission(request):
        ids = find_ids(term, (), only=MERCHANT_SOURCES).of(*MERCHANT_SOURCES)
        rows = model_admin.get_queryset(request).filter(pk__in=ids).order_by("name", "pk")
        found = [{"name": row.name, "email": row.email} for row in rows[:SUGGESTIONS]]
    return JsonResponse({"merchants": found})
