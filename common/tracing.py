"""Traces (ADR 9). Our code makes its spans itself; without a collector they cost next to nothing.

A trace begins with a request. Later work, in a worker, for a channel's webhook or in the relay, joins the trace
through the context that was stored with the saga or the event. Attributes are numbers, names and outcomes: never a
body, a header, an address with a token in it, or the text of an exception.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings
from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

_tracer = trace.get_tracer("payment_platform")
Attributes = Mapping[str, AttributeValue]

EXPORT_SECONDS = 2.0
EXPORT_TIMEOUT_SECONDS = 5.0


def is_enabled() -> bool:
    """Whether this installation collects traces at all."""
    return bool(settings.OTLP_ENDPOINT)


def configure_tracing(service_name: str) -> bool:
    """Exports the spans of this process over OTLP/HTTP. Without a collector it does nothing and returns False.

    `TRACE_SAMPLE_RATIO` of the requests are traced, each with all work that follows from it.
    """
    if not is_enabled():
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        sampler=ParentBasedTraceIdRatio(settings.TRACE_SAMPLE_RATIO),
        resource=Resource.create({"service.name": service_name, "service.namespace": "payment-platform"}),
    )
    exporter = OTLPSpanExporter(f"{settings.OTLP_ENDPOINT}/v1/traces", timeout=EXPORT_TIMEOUT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_SECONDS * 1000))
    trace.set_tracer_provider(provider)
    return True


def flush() -> None:
    """Sends the remaining spans, for a process that ends without Python's exit handlers."""
    if is_enabled():
        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]


@contextmanager
def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
    links: tuple[Link, ...] = (),
) -> Iterator[Span]:
    """Opens a span in the current trace, or in that of `context`. An exception sets its type's name as `error.type`."""
    if not is_enabled():
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:  # raised again
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def mark_failed(current: Span, error_type: str) -> None:
    """Marks the span of an operation that failed without an exception."""
    current.set_attribute("error.type", error_type)
    current.set_status(Status(StatusCode.ERROR))


@contextmanager
def continue_trace(
    trace_context: Mapping[str, str],
    name: str,
    attributes: Attributes | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """Opens a span in the trace of `trace_context`, with a link to the current trace, such as that of a webhook."""
    here = trace.get_current_span().get_span_context()
    links = (Link(here),) if here.is_valid else ()
    with span(name, attributes, kind=kind, context=stored_context(trace_context), links=links) as current:
        yield current


@contextmanager
def use_trace(trace_context: Mapping[str, str]) -> Iterator[None]:
    """Makes log lines name the trace of `trace_context`, without a span."""
    token = attach(stored_context(trace_context))
    try:
        yield
    finally:
        detach(token)


def record_span(name: str, trace_context: Mapping[str, str], started_ns: int, attributes: Attributes) -> None:
    """Records a span that ends now, in the trace of `trace_context`. Does nothing when that is empty."""
    if trace_context:
        _tracer.start_span(
            name,
            stored_context(trace_context),
            SpanKind.PRODUCER,
            attributes=attributes,
            start_time=started_ns,
        ).end()


def current_context() -> dict[str, str]:
    """The context to store with work that continues later. Empty without a trace."""
    carrier: dict[str, str] = {}
    if is_enabled():
        propagate.inject(carrier)
    return carrier


def stored_context(trace_context: Mapping[str, str]) -> Context:
    return propagate.extract(trace_context, context=Context())
