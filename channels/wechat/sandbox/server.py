"""The HTTP server: APIv3 below /v3/, the control API below /sandbox/, and the customer's pages."""

import contextlib
import ipaddress
import logging
import socket
import struct
import sys
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from channels.wechat.sandbox import api, control, pages
from channels.wechat.sandbox.bank import Bank, SendCallback, read_clock
from channels.wechat.sandbox.books import Books
from channels.wechat.sandbox.callbacks import send_over_http
from channels.wechat.sandbox.merchants import PlatformKeys, SandboxMerchant
from channels.wechat.sandbox.messages import HangUp, SandboxAnswer, SandboxRequest
from channels.wechat.sandbox.schedule import run_scheduler

MAX_BODY_BYTES = 1 << 20
logger = logging.getLogger(__name__)


def answer(bank: Bank, request: SandboxRequest, *, is_local: bool) -> SandboxAnswer | HangUp:
    """`is_local`: the client is on this machine, and may use the control API."""
    if request.path.startswith("/v3/"):
        return api.serve(bank, request)
    if not request.path.startswith("/sandbox/"):
        return pages.serve(bank, request, is_local=is_local)
    if not is_local:
        return SandboxAnswer(403, b'{"error": "only from this machine"}')
    return control.serve(bank, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], bank: Bank) -> None:
        self.bank = bank
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the client did not wait for a slow answer
            logger.exception("the connection of %s failed", client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    # Small answers are sent at once: without these two the kernel waits for more.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        logger.info(format, *args)

    def _serve(self) -> None:
        length = self.headers.get("Content-Length") or "0"
        if not length.isascii() or not length.isdigit() or "Transfer-Encoding" in self.headers:
            self._send(SandboxAnswer(411, b"", "text/plain"))
            return
        if int(length) > MAX_BODY_BYTES:
            self.rfile.read(min(int(length), 10 * MAX_BODY_BYTES))  # unread, it would reset the answer
            self._send(SandboxAnswer(413, b"", "text/plain"))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = SandboxRequest(self.command, self.path, headers, self.rfile.read(int(length)))
        is_local = ipaddress.ip_address(self.client_address[0]).is_loopback
        self._send(answer(self.server.bank, request, is_local=is_local))

    def _send(self, answer: SandboxAnswer | HangUp) -> None:
        if isinstance(answer, HangUp):
            self.close_connection = True
            if answer is HangUp.RESET:
                # Without waiting for what was sent, so that the kernel answers with a reset. Detached, because the
                # base class would end the connection in order.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.close(self.connection.detach())
            return
        self.send_response(answer.status)
        if answer.status != 204:
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status in (411, 413):  # of the body something may be unread
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)


@contextlib.contextmanager
def run_sandbox(
    platform: PlatformKeys,
    merchants: Iterable[SandboxMerchant],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    books_file: Path | None = None,
    has_web_links: bool = False,
    has_scheduler: bool = True,
    send_callback: SendCallback = send_over_http,
) -> Iterator[Bank]:
    """Runs a sandbox while the block runs; its address is `bank.base_url`.

    Without a file, its books are in memory. Without the scheduler, refunds are decided and callbacks are sent only by
    `schedule.run_due`, so that a test controls their order. `send_callback` replaces HTTP.
    """
    books = Books(books_file)
    bank = Bank(
        books=books,
        platform=platform,
        merchants={merchant.mchid: merchant for merchant in merchants},
        send_callback=send_callback,
        clock=read_clock(books),
        has_web_links=has_web_links,
    )
    server = _Server((host, port), bank)
    bank.base_url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{server.server_port}"  # noqa: S104
    stopped = threading.Event()
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)]
    if has_scheduler:
        threads.append(threading.Thread(target=run_scheduler, args=(bank, stopped), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield bank
    finally:
        stopped.set()
        bank.work_added.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()
        books.close()
