"""The HTTP server of the fake, on a port of its own. Plays the faults that a test has planned."""

import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.stripe.api import encode_json
from tests.support.stripe.fake import FakeStripe, Fault
from tests.support.stripe.messages import ErrorResponse, StripeRequest, StripeResponse
from tests.support.stripe.parameters import parse_form, parse_multipart


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    """Runs a fake of Stripe at `url`."""
    fake = FakeStripe()
    server = _FakeStripeServer(fake)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


class _FakeStripeServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakeStripe) -> None:
        super().__init__(("127.0.0.1", 0), type("Handler", (_FakeStripeHandler,), {"fake": fake}))
        self._fake = fake

    def handle_error(self, *_request: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self._fake.errors.append(error)


class _FakeStripeHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers are sent at once: without these two the kernel waits for more.
    wbufsize = -1
    disable_nagle_algorithm = True
    fake: FakeStripe

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing: tests read `fake.requests_seen`."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        content_type = self.headers.get("Content-Type", "")
        if content_type.startswith("multipart/form-data"):
            pairs += parse_multipart(content_type, body)
        else:
            pairs += urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
        request = StripeRequest(
            method=self.command,
            path=path,
            params=parse_form(pairs),
            key=self.headers.get("Idempotency-Key"),
            authorization=self.headers.get("Authorization", ""),
            version=self.headers.get("Stripe-Version", ""),
            account=self.headers.get("Stripe-Account", ""),
        )
        self._answer(request)

    def _answer(self, request: StripeRequest) -> None:
        match self.fake.take_fault(request):
            case Fault.LOSE_REQUEST:
                self._hang_up()
            case Fault.LOSE_ANSWER:
                self.fake.execute(request)
                self._hang_up()
            case Fault.DELAY:
                self.fake.delayed_requests.append(request)
                self._hang_up()
            case Fault.REPEAT:
                self.fake.execute(request)
                self._send(self.fake.execute(request))
            case Fault.UNAVAILABLE:
                self._send(StripeResponse(503, {"error": {"type": "api_error", "message": "Unavailable"}}))
            case Fault.FAIL_BEFORE:
                self._send(self.fake.execute(request, fails_before=True))
            case Fault.FAIL_AFTER:
                self._send(self.fake.execute(request, fails_after=True))
            case Fault.RATE_LIMITED:
                error = ErrorResponse(429, "Too many requests", code="rate_limit")
                self._send_error_response(error, {"Retry-After": "2"})
            case Fault.LOCKED:
                self._send_error_response(ErrorResponse(429, "Locked", code="lock_timeout"))
            case Fault.EXPIRED_API_KEY:
                error = ErrorResponse(401, "Expired API Key provided", code="api_key_expired")
                self._send_error_response(error)
            case None:
                self._send(self.fake.execute(request))

    def _send_error_response(self, error: ErrorResponse, headers: dict[str, str] | None = None) -> None:
        self._send(StripeResponse(error.status, error.body, headers or {}))

    def _send(self, response: StripeResponse) -> None:
        content = encode_json(response.body)
        self.send_response(response.status)
        common = {"Content-Length": str(len(content)), "Request-Id": "req_fake"}
        for name, value in {**common, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()
