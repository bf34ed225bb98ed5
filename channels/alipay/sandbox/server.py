"""The HTTP server: the gateway, the customer's pages, the bills' files and the control API."""

import contextlib
import http.server
import ipaddress
import json
import select
import socket
import socketserver
import struct
import sys
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from channels.alipay.sandbox import bills, cashier, gateway
from channels.alipay.sandbox.books import Bank
from channels.alipay.sandbox.cashier import CashierPage
from channels.alipay.sandbox.clock import Clock
from channels.alipay.sandbox.control import Control
from channels.alipay.sandbox.database import IN_MEMORY
from channels.alipay.sandbox.faults import NETWORK_FAULTS, Ending, SandboxOperation
from channels.alipay.sandbox.gateway import SandboxAnswer
from channels.alipay.sandbox.notice_sender import NoticeSender

LARGEST_BODY = 1_000_000
GATEWAY_PATH = "/gateway.do"
_CLOSE, _OPEN = b"c", b"o"


class SandboxServer:
    """`sends_notices`: a thread sends them when they are due; without it a test calls `sender.send_due()`.

    `base_url`: the address in QR codes and links of bills, when it is not the one that the server listens on.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = IN_MEMORY,
        clock: Clock | None = None,
        sends_notices: bool = False,
        base_url: str = "",
    ) -> None:
        self.bank = Bank(path=path, clock=clock)
        self.sender = NoticeSender(self.bank)
        self.control = Control(self.bank, self.sender)
        self._sends_notices = sends_notices
        self._stopped, self._stopping = socket.socketpair()
        self._door, self._doorbell = socket.socketpair()
        self._http = _HttpServer((host, port), self)
        self.is_stopping = False
        self._unreachable_seconds = 0.0
        self.door_open, self.door_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, name="alipay-sandbox", daemon=True)
        self.base_url = base_url or f"http://{host}:{self._http.server_address[1]}"
        self.gateway_url = self.base_url + GATEWAY_PATH

    def start(self) -> None:
        self._thread.start()
        if self._sends_notices:
            self.sender.start()

    def stop(self) -> None:
        """Ends also the calls whose answer a fault holds back."""
        self.is_stopping = True
        self._stopping.close()
        if self._thread.is_alive():
            self._thread.join()
        self._http.hang_up()
        self.sender.stop()
        self.bank.close()
        for end in (self._stopped, self._door, self._doorbell):
            end.close()

    def refuse_connections(self, seconds: float) -> None:
        """Refuses connections for the given seconds, or until `accept_connections`. Open connections are closed."""
        self._unreachable_seconds = seconds
        self.door_closed.clear()
        self._doorbell.send(_CLOSE)
        self.door_closed.wait()

    def accept_connections(self) -> None:
        self.door_open.clear()
        self._doorbell.send(_OPEN)
        self.door_open.wait()

    def _serve(self) -> None:
        watched: list[_HttpServer | socket.socket] = [self._http, self._stopped, self._door]
        while self._stopped not in (readable := select.select(watched, [], [])[0]):
            if self._door not in readable:
                self._http.handle_request()
                continue
            if self._door.recv(1) == _CLOSE:
                self._http.hang_up()
                self.door_closed.set()
                self._wait_behind_the_door()
                self._http = watched[0] = _HttpServer(self._http.server_address, self)
            self.door_open.set()

    def _wait_behind_the_door(self) -> None:
        ringing = select.select([self._stopped, self._door], [], [], self._unreachable_seconds)[0]
        if self._door in ringing:
            self._door.recv(1)
        self.door_closed.clear()

    def wait(self, seconds: float, connection: socket.socket | None = None) -> None:
        """Returns after the seconds, when the server stops, or when the caller closes its connection."""
        watched = [self._stopped] if connection is None else [self._stopped, connection]
        select.select(watched, [], [], seconds)


class _HttpServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: Any, sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    def hang_up(self) -> None:
        """Closes the listening socket and the open connections."""
        self.server_close()
        for connection in self._connections.copy():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that went away is no error of the sandbox, nor is a call that it did not finish when it stopped."""
        if not isinstance(sys.exc_info()[1], ConnectionError) and not self.sandbox.is_stopping:
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True  # headers and body are two writes

    def do_GET(self) -> None:
        self._route(b"")

    def do_DELETE(self) -> None:
        self._route(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.rfile.read(min(int(length), 10 * LARGEST_BODY) if length.isdigit() else 0)
            self.extra_headers = {"Connection": "close"}  # the caller must not send its next request here
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"", "text/plain")
            return
        self._route(self.rfile.read(int(length)))

    def _route(self, body: bytes) -> None:
        try:
            address = urlsplit(self.path)  # alipay-sdk-python writes the whole address in the request line
        except ValueError:
            self._send(HTTPStatus.BAD_REQUEST, b"", "text/plain")
            return
        head, _, rest = address.path.lstrip("/").partition("/")
        if address.path == GATEWAY_PATH:
            self._gateway(address.query, body)
        elif head == "control":
            self._control(rest, address.query, body)
        elif address.path == bills.PATH:
            self._download(address.query)
        elif head == "qr" and self.command == "GET":
            self._show(cashier.show(self._sandbox.bank, rest, is_scan=True))
        elif head == "cashier" and self.command == "GET":
            self._show(cashier.show(self._sandbox.bank, rest, is_scan=False))
        elif head == "cashier" and self.command == "POST":
            action = parse_qs(body.decode("latin-1")).get("action", [""])[0]
            self._show(cashier.act(self._sandbox.bank, rest, action))
            self._sandbox.sender.wake_up()
        else:
            self._send(HTTPStatus.NOT_FOUND, b"", "text/plain")

    @property
    def _sandbox(self) -> SandboxServer:
        return self.server.sandbox

    def _gateway(self, query: str, body: bytes) -> None:
        fields = gateway.read_fields(query, body)
        if fields.get("method") in gateway.PAGE_METHODS:
            self._show(cashier.open_signed_page(self._sandbox.bank, fields))
            return
        sandbox = self._sandbox
        answer = gateway.answer(sandbox.bank, fields, base_url=sandbox.base_url, wait=sandbox.wait)
        self._finish(answer, f"text/html;charset={answer.charset}")
        sandbox.sender.wake_up()

    def _finish(self, answer: SandboxAnswer, content_type: str) -> None:
        if answer.ending == Ending.NO_ANSWER:
            self._sandbox.wait(answer.seconds, self.connection)
            self.close_connection = True
        elif answer.ending == Ending.RESET:
            self._reset()
        elif answer.ending == Ending.SERVER_ERROR:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, b"", "text/html")
        else:
            if answer.seconds:
                self._sandbox.wait(answer.seconds)
            self._send(HTTPStatus.OK, answer.body, content_type)

    def _download(self, query: str) -> None:
        bank = self._sandbox.bank
        with bank.open_books() as books:
            file = bills.download(books, parse_qs(query).get("token", [""])[0])
        if file is None:
            self._send(HTTPStatus.OK, "下载超时,请重新下载".encode("gbk"), "text/html;charset=GBK")
            return
        name, content = file
        fault = bank.faults.take(SandboxOperation.DOWNLOAD, app_id="", out_trade_no="")
        ending = NETWORK_FAULTS[fault.kind].ending if fault else Ending.TRUE_ANSWER
        if ending == Ending.GARBAGE:
            content = content[: len(content) // 2]
        self.extra_headers = {"Content-Disposition": f"attachment; filename={quote(name)}"}
        self._finish(
            SandboxAnswer(content, "", ending, (fault.seconds or 0) if fault else 0), "application/zip"
        )

    def _control(self, name: str, query: str, body: bytes) -> None:
        if not ipaddress.ip_address(self.client_address[0]).is_loopback:
            self._send(HTTPStatus.FORBIDDEN, b"", "text/plain")
            return
        fields: Any = None
        try:
            fields = json.loads(body) if body else {key: values[0] for key, values in parse_qs(query).items()}
        except (ValueError, RecursionError):
            fields = None
        result: object = {"error": "the body is not a JSON object"}
        status = 400
        if isinstance(fields, dict):
            status, result = self._sandbox.control.handle(self.command, name, fields)
        content = json.dumps(result, ensure_ascii=False, indent=1).encode()
        self._send(status, content, "application/json; charset=utf-8")
        if name == "unreachable" and status == HTTPStatus.OK:
            self._sandbox.refuse_connections(fields["seconds"])

    def _show(self, page: CashierPage) -> None:
        if page.location:
            self.extra_headers = {"Location": page.location}
            self._send(HTTPStatus.FOUND, b"", "text/html")
            return
        html = page.html.encode(page.charset, "xmlcharrefreplace")
        self._send(HTTPStatus.OK, html, f"text/html;charset={page.charset}")

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.__dict__.pop("extra_headers", {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Closes the connection so that the caller sees it reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the ledger says what happened."""
