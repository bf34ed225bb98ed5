"""gunicorn's worker. A thread gets a request when all of it has arrived, and never waits for a client to read.

gunicorn's threaded worker gives a connection a thread with its first byte, so that sixteen clients that send slowly
block a gateway of sixteen threads. Here waitress's event loop receives whole requests and sends buffered answers for
all connections of a process, within deadlines and limits; gunicorn manages the processes. `admission.py` decides which
request gets a thread, and when.
"""

import os
import socket
import struct
import time
import uuid
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import Error

from common import errors
from common.api.client_address import is_trusted_proxy
from common.api.envelope import failure
from common.api.request_id import begin_request
from merchants.known_keys import find_merchant
from payment_platform.admission import Admission, RequestLane, choose_lane

log = structlog.get_logger(__name__)

LOOP_SECONDS = 1
# Threads beyond those that work and those in channel calls, so that a refusal (503) never waits for a request to end.
REFUSING_THREADS = 2
RETRY_AFTER_SECONDS = "2"
KEEP_ALIVE_SECONDS = 5.0
# Time limit for all headers, from the opening of a connection or its last answer. Arriving bytes do not extend it.
HEADER_SECONDS = float(os.environ.get("WEB_HEADER_SECONDS", "10"))
# Time limit for a whole request, its body included.
REQUEST_SECONDS = float(os.environ.get("WEB_REQUEST_SECONDS", "30"))
# Time limit for sending a complete answer, of at most OUTPUT_BYTES.
ANSWER_SECONDS = 120.0
# A client that reads nothing of its answer for this time is disconnected.
STALLED_SECONDS = float(os.environ.get("WEB_STALLED_SECONDS", "30"))
OUTPUT_BYTES = 16 * 2**20
HEADER_BYTES = 32 * 2**10
# Django refuses bodies above DATA_UPLOAD_MAX_MEMORY_SIZE with an error of the API; far larger ones are not received.
BODY_BYTES = 4 * settings.DATA_UPLOAD_MAX_MEMORY_SIZE
IN_MEMORY_BYTES = 64 * 2**10
# Connections of one process, at most. Above that, the one that has waited longest for its client is closed.
MAX_CONNECTIONS = int(os.environ.get("WEB_CONNECTIONS", "500"))
# Connections from one address, at most.
MAX_CONNECTIONS_PER_ADDRESS = int(os.environ.get("WEB_CONNECTIONS_PER_ADDRESS", "50"))
# Addresses without this limit, besides TRUSTED_PROXIES.
LOCAL_ADDRESSES = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1", ""})


class RequestTask(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        """Adds `RAW_URI`, gunicorn's name for the address as it was sent. Signatures cover it."""
        environ: dict[str, Any] = super().get_environment()
        environ["RAW_URI"] = environ["REQUEST_URI"]
        return environ


class RequestParser(HTTPRequestParser):
    """Refuses requests of which a proxy before the gateway may see another end (request smuggling; RFC 9112, 6.1)."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Content-Length and Transfer-Encoding are both given")
        if "TRANSFER_ENCODING" in self.headers:  # waitress removes it from a request of HTTP/1.1
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")


class TooManyRequests(Error):
    """The lane of the request is full, or the request has waited too long (`admission.py`)."""

    code, reason = 503, "Service Unavailable"


class RefusalTask(ErrorTask):
    """Refuses invalid, too large and too many requests with an error of the API."""

    def execute(self) -> None:
        error = self.request.error
        request_id = begin_request(None)
        answer = failure(_choose_error(error.code))
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [
            ("Content-Type", "application/json"),
            ("X-Request-Id", request_id),
            *answer.headers.items(),
        ]
        if not isinstance(error, TooManyRequests):  # which is counted, and the connection stays open
            log.info("request.refused", status=error.code, reason=error.body, request_id=request_id)
            self.set_close_on_finish()
        self.content_length = len(answer.body)  # type: ignore[assignment]  # waitress starts it as None
        self.write(answer.body)


def _choose_error(status: int) -> errors.ApiError:
    if status == 503:
        return errors.ServiceUnavailable(headers={"Retry-After": RETRY_AFTER_SECONDS})
    if status == 413:
        return errors.BodyTooLarge({"limit_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE})
    return errors.MalformedBody()


class Connection(HTTPChannel):
    """A client's connection, and the request of it that is served next (`admission.PendingRequest`)."""

    parser_class = RequestParser
    task_class = RequestTask
    error_task_class = RefusalTask

    @property
    def lane(self) -> RequestLane:
        request = self.requests[0]
        return choose_lane(getattr(request, "command", ""), getattr(request, "path", ""))

    @property
    def fairness_key(self) -> uuid.UUID | None:
        """The merchant whose API key the request names. All requests with unknown keys share None, so that made-up keys
        gain nothing."""
        return find_merchant(getattr(self.requests[0], "headers", {}).get("X_API_KEY", ""))

    def refuse(self) -> None:
        self.requests[0].error = TooManyRequests("too many requests wait")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.waiting_since = time.time()
        self.serving_threads = 0
        super().__init__(*args, **kwargs)

    def service(self) -> None:
        """Runs in a thread. Clears what the request bound to its log lines.

        The request leaves `requests` before this ends: until `waiting_since` is the time of its end, the connection
        must not look as if it had waited since its beginning.
        """
        with self.requests_lock:
            self.serving_threads += 1
        try:
            super().service()
        finally:
            with self.requests_lock:
                self.waiting_since = time.time()
                self.serving_threads -= 1
            structlog.contextvars.clear_contextvars()

    @property
    def is_waiting(self) -> bool:
        """Whether the client must send next."""
        return not self._is_served and not self.total_outbufs_len

    @property
    def _is_served(self) -> bool:
        return bool(self.requests or self.serving_threads)

    def readable(self) -> bool:
        """False once it is closed. The event loop still asks for the connections that `Listener.maintenance` has just
        closed. A number of a closed socket is given to the next connection, which would be closed for it."""
        return self.socket is not None and super().readable()

    def writable(self) -> bool:
        return self.socket is not None and super().writable()

    def is_overdue(self, now: float) -> bool:
        if self.total_outbufs_len:
            stalled = now - self.last_activity > STALLED_SECONDS
            return stalled or (not self._is_served and now - self.waiting_since > ANSWER_SECONDS)
        if self._is_served or now - self.waiting_since <= self._time_limit():
            return False
        return self.request is not None or not self._has_unread_bytes()

    def abort(self) -> None:
        """Closes at once, and discards what the kernel still holds for the client."""
        assert self.socket is not None
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handle_close()

    def _has_unread_bytes(self) -> bool:
        """Whether a request has begun to arrive that a busy process has not read yet."""
        assert self.socket is not None
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def _time_limit(self) -> float:
        request = self.request
        if request is None:
            return KEEP_ALIVE_SECONDS
        return REQUEST_SECONDS if request.headers_finished else HEADER_SECONDS


class Listener(TcpWSGIServer):
    channel_class = Connection

    def handle_accept(self) -> None:
        try:
            accepted = self.accept()
            if accepted is None:  # another process accepted it
                return
            connection, address = accepted
            self.set_socket_options(connection)
        except OSError:  # closed before it was accepted
            return
        if self._has_too_many_connections(address[0]):
            connection.close()
            return
        self._make_room()
        self.channel_class(self, connection, address, self.adj, map=self._map)

    def _has_too_many_connections(self, address: str) -> bool:
        if address in LOCAL_ADDRESSES or is_trusted_proxy(address):
            return False
        count: int = sum(channel.addr[0] == address for channel in self.active_channels.values())
        return count >= MAX_CONNECTIONS_PER_ADDRESS

    def _make_room(self) -> None:
        """At the limit, closes the connection that has waited longest for its client.

        A request that is sent at once is received before that.
        """
        open_now = self.active_channels.values()
        if len(open_now) < MAX_CONNECTIONS:
            return
        waiting = [channel for channel in open_now if channel.is_waiting]
        if waiting:
            min(waiting, key=lambda channel: channel.waiting_since).abort()

    def maintenance(self, now: float) -> None:
        self.task_dispatcher.check_queues()
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.abort()


def listen(
    application: Any,
    listening: socket.socket,
    connections: dict[int, Any],
    admission: Admission,
    *,
    backlog: int,
) -> Listener:
    """Serves an open socket. `wasyncore.loop` with these `connections` does the work."""
    adjustments = Adjustments(
        backlog=backlog,
        ident="",
        cleanup_interval=LOOP_SECONDS,
        connection_limit=2 * MAX_CONNECTIONS,  # never reached, because the listener closes connections
        max_request_header_size=HEADER_BYTES,
        max_request_body_size=BODY_BYTES,
        inbuf_overflow=IN_MEMORY_BYTES,
        outbuf_high_watermark=OUTPUT_BYTES,
        log_socket_errors=False,
    )
    return Listener(
        application,
        connections,
        True,
        listening,
        dispatcher=admission,
        adj=adjustments,
        sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        bind_socket=False,
    )


class BufferingWorker(Worker):
    def init_process(self) -> None:
        self.connections: dict[int, Any] = {}
        self.listeners: list[Listener] = []
        super().init_process()

    def run(self) -> None:
        places = self.cfg.threads
        threads = places + settings.CHANNEL_CALLS_PER_PROCESS + REFUSING_THREADS
        admission = Admission(places=places, threads=threads)
        self.listeners = [
            listen(self.wsgi, listener.sock, self.connections, admission, backlog=self.cfg.backlog)
            for listener in self.sockets
        ]
        while self.alive and self.ppid == os.getppid():
            self._run_once()
        self._drain()
        admission.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        for listener in self.listeners:
            listener.pull_trigger()

    def _run_once(self) -> None:
        self.notify()
        wasyncore.loop(timeout=LOOP_SECONDS, use_poll=True, map=self.connections, count=1)

    def _drain(self) -> None:
        """Stops accepting, and answers the requests that have arrived, for `graceful_timeout` at most."""
        until = time.monotonic() + self.cfg.graceful_timeout
        for listener in self.listeners:
            listener.accepting = False
            listener.del_channel()
            assert listener.socket is not None
            listener.socket.close()
        while time.monotonic() < until and any(
            not channel.is_waiting
            for listener in self.listeners
            for channel in listener.active_channels.values()
        ):
            self._run_once()
