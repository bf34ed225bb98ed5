"""Error pages for browsers. They need neither the database nor a session."""

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.api.request_id import current_request_id
from common.errors import ApiError

# Title, text, and style of the symbol.
_PAGES: dict[int, tuple[Promise, Promise, str]] = {
    400: (
        _("This address cannot be shown"),
        _("Something in it is not allowed. Please go back, or start again."),
        "ended",
    ),
    403: (
        _("You may not do this"),
        _("Your role does not permit it, or the page was open for too long. Go back and reload it."),
        "ended",
    ),
    404: (
        _("There is no such page"),
        _("Please check the address, or start again where you came from."),
        "ended",
    ),
    503: (
        _("We will be back in a moment"),
        _("Nothing is lost. Please keep this page open: it tries again by itself."),
        "wait",
    ),
    500: (
        _("Something went wrong"),
        _("This is an error on our side and has been reported. Please try again in a few minutes."),
        "failure",
    ),
}


def render_error_page(request: HttpRequest, error: ApiError) -> HttpResponse:
    """Renders the page of an error. A page with `Retry-After` reloads itself after that time."""
    return render_status_page(request, error.status, error.headers)


def render_status_page(
    request: HttpRequest, status: int, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Shows the request id, which the logs have too. Staff get a link back to their dashboard."""
    title, text, mark = _PAGES.get(status, _PAGES[500])
    shown = {
        "title": title,
        "text": text,
        "mark": mark,
        "retry_after": (headers or {}).get("Retry-After", "") if status == 503 else "",
        "request_id": current_request_id(),
        "is_for_staff": request.path.startswith("/admin/"),
    }
    response = HttpResponse(
        render_to_string("errors/page.html", shown), status=status, headers=dict(headers or {})
    )
    response.headers.setdefault("Cache-Control", "no-store")
    return response
