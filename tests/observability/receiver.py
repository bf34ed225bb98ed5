"""A collector of traces that accepts OTLP over HTTP, as Jaeger does, and stores the spans."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class SeenSpan:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    attributes: dict[str, Any]
    links: list[tuple[str, str]] = field(default_factory=list)  # trace id, span id
    events: int = 0


class Receiver:
    def __init__(self, port: int) -> None:
        self.port = port
        self.spans: list[SeenSpan] = []
        self.bytes = b""

    def trace_of(self, payment_no: str) -> list[SeenSpan]:
        """Returns all spans of the trace in which the payment's saga ran. Later requests for the payment have traces of
        their own."""
        about = [span for span in self.spans if span.attributes.get("payment_no") == payment_no]
        ids = {span.trace_id for span in about if "saga_id" in span.attributes}
        assert len(ids) <= 1, f"the saga of {payment_no} is in {len(ids)} traces"
        return [span for span in self.spans if span.trace_id in ids]

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.bytes += body
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_seen(service, span) for span in scope.spans]


def _seen(service: str, span: Any) -> SeenSpan:
    return SeenSpan(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        _attributes(span.attributes),
        [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        len(span.events),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces", self.path
            seen.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen = Receiver(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield seen
        server.shutdown()
