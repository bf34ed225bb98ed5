"""Metrics of each request, and the first span of its trace."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from prometheus_client import Counter, Histogram

from common import database_pool, tracing
from common.api.request_id import current_request_id

GetResponse = Callable[[HttpRequest], HttpResponse]

REQUESTS = Counter("http_requests_total", "Requests answered", ["method", "route", "status"])
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time from a request to its answer",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# One series for all pages of the back office, and none for probes.
ADMIN, PROBES = "/admin/", ("/metrics", "/healthz", "/readyz")
UNKNOWN = "unknown"
_CONVERTER = re.compile(r"(?<=<)\w+:")
_OUR_NUMBER = re.compile(r"[A-Z]{3}-[A-Za-z0-9-]{1,60}")


class MetricsMiddleware:
    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        response = self.get_response(request)
        route = route_of(request)
        if route not in PROBES:
            method = method_of(request)
            REQUESTS.labels(method, route, response.status_code).inc()
            DURATION.labels(method, route).observe(time.perf_counter() - began)
        database_pool.record_usage()
        return response

    def process_view(
        self, _request: HttpRequest, _view: Any, _arguments: Any, named: Mapping[str, Any]
    ) -> None:
        """Binds the payment's number to every log line of the request."""
        for name, value in find_payment_numbers(named).items():
            structlog.contextvars.bind_contextvars(**{name: value})


class TraceMiddleware:
    """Opens a trace for each request, with a link to the caller's. Joining it would let callers decide on sampling."""

    def __init__(self, get_response: GetResponse) -> None:
        if not tracing.is_enabled():
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        method = method_of(request)
        attributes = {"http.request.method": method, "request_id": current_request_id()}
        caller = trace.get_current_span(propagate.extract(request.headers, Context())).get_span_context()
        links = (Link(caller),) if caller.is_valid else ()
        with tracing.span(method, attributes, kind=SpanKind.SERVER, context=Context(), links=links) as span:
            response = self.get_response(request)
            route = route_of(request)
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                tracing.mark_failed(span, str(response.status_code))
            return response

    def process_view(
        self, _request: HttpRequest, _view: Any, _arguments: Any, named: Mapping[str, Any]
    ) -> None:
        trace.get_current_span().set_attributes(find_payment_numbers(named))


def route_of(request: HttpRequest) -> str:
    """`/api/v1/payments/<payment_no>`: the pattern of the address, never the address itself."""
    match = getattr(request, "resolver_match", None)
    if match is None:
        return UNKNOWN
    route = f"/{_CONVERTER.sub('', match.route)}"
    return ADMIN if route.startswith(ADMIN) else route


def method_of(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else UNKNOWN


def find_payment_numbers(named: Mapping[str, Any]) -> dict[str, str]:
    """The payment and refund numbers in an address. Order numbers are the merchant's, so they are left out."""
    return {
        name: value
        for name, value in named.items()
        if name in ("payment_no", "refund_no") and _OUR_NUMBER.fullmatch(str(value))
    }
