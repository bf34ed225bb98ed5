"""What holds for every page of the back office, whoever writes it: a second factor, and where it may load from."""

import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from staff import second_factor

BACK_OFFICE = "/admin/"
# Controls but tab and line ends, and what changes the direction of text or ends a line.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# The way in and out, and to a second factor, by the names of their addresses.
OPEN = frozenset(
    {
        "login",
        "logout",
        "jsi18n",
        "second_factor",
        "second_factor_begin",
        "second_factor_confirm",
        "second_factor_codes",
        "staff_invitation",
    }
)


class SecondFactorMiddleware:
    """While STAFF_OTP_REQUIRED: nothing below /admin/ is answered to a session without a second factor.

    A middleware and not a wrapper around each view, so that no page can forget it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        match = request.resolver_match
        if not settings.STAFF_OTP_REQUIRED or match is None or match.url_name in OPEN:
            return None
        if not request.path_info.startswith(BACK_OFFICE):
            return None
        user: Any = request.user
        if not user.is_authenticated or user.is_verified():
            return None
        if second_factor.is_enrolled(user):  # signed in before it was required
            logout(request)
            return redirect_to_login(request.get_full_path(), "admin:login")
        return redirect("second_factor")


class ContentPolicyMiddleware:
    """Pages whose scripts and styles are not ours get the policy that these need, and no more.

    The theme's Alpine compiles its attributes (`unsafe-eval`) and both set inline styles; Swagger's page starts itself
    by an inline script. Nothing may come from, or be sent to, another host.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        for prefix, policy in settings.CONTENT_POLICIES.items():
            if request.path_info.startswith(prefix):
                response._csp_replace = policy  # type: ignore[attr-defined]  # django-csp reads it
        return response


class VisibleCharactersMiddleware:
    """Shows the characters of the back office that hide, or turn text around, as escapes (`\\u202e`): what a merchant
    wrote into a subject must not look like something else to staff. On the whole page, so that no column can forget it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html") and not response.streaming
        if is_page and request.path_info.startswith(BACK_OFFICE):
            html = response.content.decode()
            shown = _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", html)
            if shown != html:
                response.content = shown.encode()
                if "Content-Length" in response.headers:
                    response.headers["Content-Length"] = str(len(response.content))
        return response
