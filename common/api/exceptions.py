"""Turns every exception of a view into the contract's error shape, without internal details."""

import sys
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from rest_framework import exceptions as drf

from common import errors
from common.api.envelope import failure
from common.api.error_pages import render_error_page, render_status_page
from common.database_errors import classify_database_error

log = structlog.get_logger(__name__)


def handle_exception(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER."""
    return respond(_translate(error))


def respond(error: errors.ApiError) -> HttpResponse:
    answer = failure(error)
    return HttpResponse(
        answer.body, status=answer.status, headers=answer.headers, content_type="application/json"
    )


def _translate(error: Exception) -> errors.ApiError:
    match error:
        case errors.ApiError():
            return error
        case drf.ValidationError():
            return errors.ValidationFailed(_flatten(error.detail))
        case drf.ParseError():
            return errors.MalformedBody({"body": [str(error.detail)]})
        case drf.UnsupportedMediaType():
            return errors.UnsupportedMediaType()
        case drf.MethodNotAllowed():
            return errors.MethodNotAllowed()
        case drf.NotAcceptable():
            return errors.NotAcceptable()
        case RequestDataTooBig():
            return errors.BodyTooLarge({"limit_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE})
        case UnreadablePostError():
            return errors.MalformedBody({"body": ["the connection ended before it was complete"]})
        case drf.NotFound() | Http404():
            return errors.NotFound()
    unavailable = database_unavailable(error)
    if unavailable is not None:
        return unavailable
    log.exception("request.failed", exc_info=error)
    return errors.InternalError()


def database_unavailable(error: BaseException | None) -> errors.ServiceUnavailable | None:
    """Logs and returns a 503 with `Retry-After` when the database cannot serve. None for other errors."""
    trouble = classify_database_error(error)
    if trouble is None:
        return None
    log.error("request.database_unavailable", trouble=trouble.name.lower(), error=str(error))
    return errors.ServiceUnavailable(headers={"Retry-After": trouble.retry_after})


def _flatten(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """`{"items": [{}, {"amount": ["…"]}]}` becomes `{"items.1.amount": ["…"]}`."""
    if isinstance(detail, dict):
        pairs = [(f"{prefix}.{name}" if prefix else str(name), inner) for name, inner in detail.items()]
    elif isinstance(detail, list) and any(isinstance(inner, dict | list) for inner in detail):
        pairs = [(f"{prefix}.{index}", inner) for index, inner in enumerate(detail)]
    else:
        texts = detail if isinstance(detail, list) else [detail]
        whole = prefix in ("", "non_field_errors")
        name = "body" if whole else prefix.removesuffix(".non_field_errors")
        return {name: [str(text) for text in texts]}
    merged: dict[str, list[str]] = {}
    for path, inner in pairs:
        if inner:
            merged.update(_flatten(inner, path))
    return merged


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return _answer(request, errors.NotFound())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403, for pages of the back office: the API has its own refusals."""
    return render_status_page(request, 403)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, for what fails outside DRF (middleware, admin). Called while the error is being handled."""
    return _answer(request, database_unavailable(sys.exception()) or errors.InternalError())


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a wrong Host header, a disallowed path or filter."""
    return _answer(request, errors.MalformedBody())


def _answer(request: HttpRequest, error: errors.ApiError) -> HttpResponse:
    """JSON below `/api/`, an HTML page for every other address."""
    return respond(error) if request.path.startswith("/api/") else render_error_page(request, error)
