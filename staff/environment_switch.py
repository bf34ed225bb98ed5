"""The switch between test and live in the header of every page. It is kept per person."""

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from common.admin_lists import NEWER, OLDER
from common.errors import OperationRefused
from staff import preferences

# Parameters of the page that belong to the other environment: what it shows, and the place in a list.
LEFT_BEHIND = ("environment", OLDER, NEWER)


@require_POST
def switch_environment(request: HttpRequest) -> HttpResponse:
    """Keeps the choice and leads back to the page."""
    assert request.user.pk is not None
    try:
        preferences.save_environment(user_id=request.user.pk, environment=request.POST.get("environment", ""))
    except OperationRefused as refused:
        messages.error(request, str(refused))
    return HttpResponseRedirect(_find_way_back(request))


def _find_way_back(request: HttpRequest) -> str:
    address = request.POST.get("next", "")
    if not (address.startswith("/") and url_has_allowed_host_and_scheme(address, allowed_hosts=None)):
        return reverse("admin:index")
    page, _mark, query = address.partition("?")
    kept = [
        (name, value)
        for name, values in QueryDict(query).lists()
        if name not in LEFT_BEHIND
        for value in values
    ]
    return f"{page}?{urlencode(kept)}" if kept else page
