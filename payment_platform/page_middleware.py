"""Middleware of pages: sessions, messages, sign-in. Requests of the API authenticate themselves and pass it by.

Django's `CsrfViewMiddleware` and axes' middleware are not here, because the system checks look for their own names.
"""

import functools
from typing import Any

from csp import middleware as csp
from csp.constants import HEADER
from csp.utils import build_policy
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django_otp import middleware as otp

API = "/api/v1/"


def is_api_request(request: HttpRequest) -> bool:
    return request.path_info.startswith(API)


class SessionMiddleware(sessions.SessionMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_api_request(request) else super().__call__(request)

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.session.user_agent = request.headers.get("User-Agent", "")  # type: ignore[attr-defined]


class AuthenticationMiddleware(auth.AuthenticationMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_api_request(request) else super().__call__(request)


class OTPMiddleware(otp.OTPMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        if is_api_request(request):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[no-untyped-call]


class MessageMiddleware(messages.MessageMiddleware):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_api_request(request) else super().__call__(request)


class CSPMiddleware(csp.CSPMiddleware):
    """The API's answers have the policy of the settings, which is the same for all of them."""

    def __call__(self, request: HttpRequest) -> Any:
        if not is_api_request(request):
            return super().__call__(request)
        response: Any = self.get_response(request)
        response.headers.setdefault(HEADER, _build_api_policy())
        return response


@functools.cache
def _build_api_policy() -> str:
    return build_policy()
