"""A server that answers WeChat Pay's API with what a test planned, signed by the code of the SDK `wechatpayv3`.

It knows no orders: tests of whole journeys use the sandbox.
"""

import contextlib
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from wechatpayv3.utils import rsa_sign

from tests.support.wechat import keys


def sign_headers(
    body: bytes, *, owner: str = "wechat", serial_no: str = keys.PUBLIC_KEY_ID, timestamp: int | None = None
) -> dict[str, str]:
    """The headers of an answer or a callback that the owner's key signs."""
    at, nonce = str(timestamp or int(time.time())), secrets.token_hex(16)
    return {
        "Wechatpay-Timestamp": at,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial_no,
        "Wechatpay-Signature": rsa_sign(keys.make_key(owner), f"{at}\n{nonce}\n{body.decode()}\n"),
    }


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class PlannedAnswer:
    status: int
    body: bytes
    headers: Mapping[str, str]
    # The connection is closed instead: the answer is lost.
    is_lost: bool = False


@dataclass
class PlannedServer:
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: deque[PlannedAnswer] = field(default_factory=deque)

    def plan(
        self,
        status: int,
        body: bytes | str = b"",
        *,
        headers: Mapping[str, str] | None = None,
        is_lost: bool = False,
    ) -> None:
        """Plans the answer to the next request; signed by WeChat Pay unless other `headers` are given."""
        content = body.encode() if isinstance(body, str) else body
        signed = sign_headers(content) if headers is None else headers
        self.answers.append(PlannedAnswer(status, content, signed, is_lost))

    def reset(self) -> None:
        self.requests.clear()
        self.answers.clear()


@contextlib.contextmanager
def run_planned_server() -> Iterator[PlannedServer]:
    planned = PlannedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Small answers are sent at once: without these two the kernel waits for more.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            planned.requests.append(Request(self.command, self.path, dict(self.headers), body))
            answer = planned.answers.popleft()
            if answer.is_lost:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_args: object) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    planned.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield planned
    finally:
        server.shutdown()
        server.server_close()
