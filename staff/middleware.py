"""Rules for every page of the back office: second factor, content security policy, no invisible characters."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.contrib.sessions import middleware as django_sessions
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from common import time_zones
from common.own_writes import remember_write
from staff import preferences, second_factor, sessions

BACK_OFFICE = "/admin/"
# Control characters except tab and line ends, and characters that change the direction of text or end a line.
_INVISIBLE_CHARACTERS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
# URL names of sign-in, sign-out and enrollment.
PAGES_WITHOUT_SECOND_FACTOR = frozenset(
    {
        "login",
        "logout",
        "jsi18n",
        "second_factor",
        "second_factor_begin",
        "second_factor_confirm",
        "second_factor_codes",
        "passkey_sign_in",
        "passkey_sign_in_confirm",
        "single_sign_on",
        "single_sign_on_callback",
        "staff_sign_out",
        "staff_invitation",
    }
)


class SessionMiddleware(django_sessions.SessionMiddleware):
    """Tells the session which browser uses it."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.session.user_agent = request.headers.get("User-Agent", "")  # type: ignore[attr-defined]


class OwnWritesMiddleware:
    """After each form, lists read the primary until the replica must have caught up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path_info.startswith(BACK_OFFICE):
            remember_write(request, response)
        return response


class SecondFactorMiddleware:
    """While STAFF_OTP_REQUIRED is on, refuses every page below /admin/ to a session without a second factor.

    As a middleware, it also covers pages that are added later.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        match = request.resolver_match
        if not settings.STAFF_OTP_REQUIRED or match is None or match.url_name in PAGES_WITHOUT_SECOND_FACTOR:
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
    """Gives pages of third-party code a content security policy that allows what they need (`CONTENT_POLICIES`).

    The admin theme's Alpine compiles its attributes (`unsafe-eval`), it and Swagger set inline styles, and Swagger
    starts with an inline script. No policy allows another host.
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
    """Escapes invisible and direction-changing characters on pages of the back office (`\\u202e`), so that text from a
    merchant cannot look like other text to staff. It works on the whole page, so no column is left out.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html") and not response.streaming
        if is_page and request.path_info.startswith(BACK_OFFICE):
            html = response.content.decode()
            visible = _INVISIBLE_CHARACTERS.sub(lambda found: f"\\u{ord(found.group()):04x}", html)
            if visible != html:
                response.content = visible.encode()
                if "Content-Length" in response.headers:
                    response.headers["Content-Length"] = str(len(response.content))
        return response


class PreferencesMiddleware:
    """Shows the pages of the back office in the reader's time zone: that of the profile, or else the browser's, which a
    cookie tells. `request.staff_preferences` has the columns that the person has chosen (`common/admin.py`)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(BACK_OFFICE):
            return self.get_response(request)
        user: Any = request.user
        if user.is_authenticated:
            sessions.record_use(request.session)  # type: ignore[arg-type]
        chosen = preferences.load_preferences(user) if user.is_authenticated else preferences.Preferences()
        request.staff_preferences = chosen  # type: ignore[attr-defined]
        browser = time_zones.find_zone(request.COOKIES.get(time_zones.COOKIE, ""))
        with timezone.override(chosen.zone or browser or dt.UTC):
            return self.get_response(request)
