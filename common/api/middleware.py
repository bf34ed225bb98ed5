from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from common.api.exceptions import respond
from common.api.request_id import begin_request
from common.errors import NotFound


class RequestIdMiddleware:
    """Gives every answer `X-Request-Id` and every log line of the request the same id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = begin_request(request.headers.get("X-Request-Id"))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


class RefuseNulMiddleware:
    """No address of ours holds a NUL, and Postgres could not look one up."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return respond(NotFound()) if "\x00" in request.path_info else self.get_response(request)
