"""Error pages for browsers. They need neither the database nor a session."""

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.errors import ApiError

# Title, text, and style of the symbol.
_PAGES: dict[int, tuple[Promise, Promise, str]] = {
    400: (
        _("This address cannot be shown"),
        _("Something in it is not allowed. Please go back, or start again."),
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


def render_error_page(error: ApiError) -> HttpResponse:
    """Renders the page of an error. A page with `Retry-After` reloads itself after that time."""
    title, text, mark = _PAGES.get(error.status, _PAGES[500])
    retry_after = error.headers.get("Retry-After", "") if error.status == 503 else ""
    shown = {"title": title, "text": text, "mark": mark, "retry_after": retry_after}
    response = HttpResponse(
        render_to_string("errors/page.html", shown), status=error.status, headers=dict(error.headers)
    )
    response.headers.setdefault("Cache-Control", "no-store")
    return response
