"""The HTTP server of the fake, on a port of its own. Plays the faults that a test has planned."""

import json
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.paypal.fake import FakePayPal, Fault
from tests.support.paypal.messages import ErrorResponse, PayPalRequest, PayPalResponse


@contextmanager
def fake_paypal() -> Iterator[FakePayPal]:
    """Runs a fake of PayPal at `url`."""
    fake = FakePayPal()
    server = _FakePayPalServer(fake)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()


class _FakePayPalServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, fake: FakePayPal) -> None:
        super().__init__(("127.0.0.1", 0), type("Handler", (_FakePayPalHandler,), {"fake": fake}))
        self._fake = fake

    def handle_error(self, *_request: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self._fake.errors.append(error)


class _FakePayPalHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers are sent at once: without these two the kernel waits for more.
    wbufsize = -1
    disable_nagle_algorithm = True
    fake: FakePayPal

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_arguments: object) -> None:
        """Logs nothing: tests read `fake.requests_seen`."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        request = PayPalRequest(
            method=self.command,
            path=path,
            query=dict(urllib.parse.parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        self._answer(request)

    def _answer(self, request: PayPalRequest) -> None:
        match self.fake.take_fault(request):
            case Fault.LOSE_REQUEST:
                self._hang_up()
            case Fault.LOSE_ANSWER:
                self.fake.execute(request)
                self._hang_up()
            case Fault.DELAY:
                self.fake.delayed_requests.append(request)
                self._hang_up()
            case Fault.UNAVAILABLE:
                self._send(PayPalResponse(503, b"<html>Service Unavailable</html>"))
            case Fault.FAIL_AFTER:
                self.fake.execute(request)
                self._send(PayPalResponse(500, ErrorResponse(500).body))
            case Fault.RATE_LIMITED:
                self._send(PayPalResponse(429, ErrorResponse(429).body, {"Retry-After": "2"}))
            case Fault.IN_PROGRESS:
                self._send(PayPalResponse(409, ErrorResponse(409, "PREVIOUS_REQUEST_IN_PROGRESS").body))
            case Fault.EXPIRED_TOKEN:
                self._send(PayPalResponse(401, ErrorResponse(401).body))
            case Fault.NO_SUCH_PAGE:
                self._send(PayPalResponse(404, b"<html>Not Found</html>"))
            case Fault.GARBAGE:
                self._send(PayPalResponse(200, b"<html>Maintenance</html>"))
            case None:
                self._send(self.fake.execute(request))

    def _send(self, response: PayPalResponse) -> None:
        content = b""
        if response.body is not None:
            content = (
                response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
            )
        self.send_response(response.status)
        headers = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
        for name, value in {**headers, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()
