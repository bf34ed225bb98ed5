"""The short way of an API request: from here directly to its view, past the middleware of pages.

Sessions, sign-in, forms and messages are for pages. Each middleware costs every request some ten function calls, even
one that does nothing.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from csp.constants import HEADER as CONTENT_POLICY
from csp.utils import build_policy
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers

API = "/api/v1/"
GetResponse = Callable[[HttpRequest], HttpResponse]


class ApiMiddleware:
    """Everything behind it in MIDDLEWARE is for pages. Of that, it does what an answer of the API needs: it checks the
    host, chooses the language, and sets the headers that every page has."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._call_view = find_view_handler(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(API):
            return self.get_response(request)
        language = translation.get_language_from_request(request)
        translation.activate(language)
        request.LANGUAGE_CODE = language  # as Django's LocaleMiddleware does
        request.get_host()  # raises DisallowedHost
        response = self._call_view(request)
        patch_vary_headers(response, ("Accept-Language",))
        for name, value in _build_headers().items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Language", language)
        if not response.streaming:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response


def find_view_handler(get_response: GetResponse) -> GetResponse:
    """Django's own handler behind all middleware. Each middleware keeps what follows it as `get_response`. The search
    ends at one that does not, so requests pass through it."""
    handler = get_response
    while (following := getattr(inspect.unwrap(handler), "get_response", None)) is not None:
        handler = following
    return handler


@functools.cache
def _build_headers() -> dict[str, Any]:
    """The same for all answers of the API."""
    return {CONTENT_POLICY: build_policy(), "X-Frame-Options": settings.X_FRAME_OPTIONS}
