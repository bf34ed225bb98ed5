from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from common import origin
from common.api.error_pages import render_error_page
from common.api.exceptions import respond
from common.api.request_id import begin_request
from common.errors import LengthRequired, MalformedBody, NotFound


class RequestIdMiddleware:
    """Sets one id on the answer (`X-Request-Id`) and on every log line of the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = begin_request(request.META.get("HTTP_X_REQUEST_ID"))
        origin.begin_request(request.META.get("REMOTE_ADDR"))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response


class RefuseUnservableMiddleware:
    """Refuses a NUL in the address, which PostgreSQL cannot look up, and a body of unknown length, which WSGI shows as
    empty."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path_info:
            return respond(NotFound())
        # The API's serializers refuse it with the field's name; in the back office any parameter may become a lookup.
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path_info.startswith("/api/"):
            return render_error_page(request, MalformedBody())
        if "HTTP_TRANSFER_ENCODING" in request.META and "CONTENT_LENGTH" not in request.META:
            return respond(LengthRequired())
        return self.get_response(request)
