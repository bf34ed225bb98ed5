"""gunicorn's worker: a thread gets a request when all of it has arrived, and never waits for a client that reads.

gunicorn's own threaded worker gives a connection a thread with its first byte, so that sixteen clients that drip bytes
stop a gateway of sixteen threads. Here waitress's event loop receives whole requests and sends buffered answers for all
connections of a process, within deadlines and limits; gunicorn keeps the processes.
"""

import os
import socket
import struct
import time
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask

from common import errors
from common.api.client_address import is_trusted_proxy
from common.api.envelope import failure
from common.api.request_id import begin_request

log = structlog.get_logger(__name__)

LOOP_SECONDS = 1
KEEP_ALIVE_SECONDS = 5.0
# Time for all headers, from the opening of a connection or the last answer on it. Bytes that arrive do not extend it.
HEADER_SECONDS = float(os.environ.get("WEB_HEADER_SECONDS", "10"))
# The same for a whole request, its body included.
REQUEST_SECONDS = float(os.environ.get("WEB_REQUEST_SECONDS", "30"))
# For what is left of an answer when it is complete (at most OUTPUT_BYTES), and while nothing of it can be sent.
ANSWER_SECONDS = 120.0
# A client that reads nothing of its answer for so long is disconnected.
STALLED_SECONDS = float(os.environ.get("WEB_STALLED_SECONDS", "30"))
OUTPUT_BYTES = 16 * 2**20
HEADER_BYTES = 32 * 2**10
# Django refuses bodies above DATA_UPLOAD_MAX_MEMORY_SIZE in the API's words; far above it they are not received at all.
BODY_BYTES = 4 * settings.DATA_UPLOAD_MAX_MEMORY_SIZE
IN_MEMORY_BYTES = 64 * 2**10
# Connections of one process, at most; then the one that has waited longest for its client is closed.
MOST_CONNECTIONS = int(os.environ.get("WEB_CONNECTIONS", "500"))
# Connections from one address, at most.
MOST_OF_AN_ADDRESS = int(os.environ.get("WEB_CONNECTIONS_PER_ADDRESS", "50"))
# The limit is not for the local machine, nor for the proxies in front of us (TRUSTED_PROXIES).
SHARED_ADDRESSES = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1", ""})


class RequestTask(WSGITask):
    def get_environment(self) -> dict[str, Any]:
        """`RAW_URI` is the name that gunicorn gives the address as it stood on the wire; signatures are over it."""
        environ: dict[str, Any] = super().get_environment()
        environ["RAW_URI"] = environ["REQUEST_URI"]
        return environ


class RefusalTask(ErrorTask):
    """What is no HTTP request, or too large a one, is refused in the shape of the API's errors."""

    def execute(self) -> None:
        refused = self.request.error
        request_id = begin_request(None)
        log.info("request.refused", status=refused.code, why=refused.body, request_id=request_id)
        answer = failure(errors.BodyTooLarge() if refused.code == 413 else errors.MalformedBody())
        self.status = f"{refused.code} {refused.reason}"
        self.response_headers += [("Content-Type", "application/json"), ("X-Request-Id", request_id)]
        self.set_close_on_finish()
        self.content_length = len(answer.body)  # type: ignore[assignment]  # waitress starts it as None
        self.write(answer.body)


class Connection(HTTPChannel):
    task_class = RequestTask
    error_task_class = RefusalTask

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.waiting_since = time.time()
        super().__init__(*args, **kwargs)

    def service(self) -> None:
        """Runs in a thread. What a request bound to its log lines does not outlive it."""
        try:
            super().service()
        finally:
            self.waiting_since = time.time()
            structlog.contextvars.clear_contextvars()

    @property
    def is_waiting(self) -> bool:
        """For the client to send, not for us to answer."""
        return not self.requests and not self.total_outbufs_len

    def is_overdue(self, now: float) -> bool:
        if self.total_outbufs_len:
            stalled = now - self.last_activity > STALLED_SECONDS
            return stalled or (not self.requests and now - self.waiting_since > ANSWER_SECONDS)
        if self.requests:
            return False
        return now - self.waiting_since > self._patience()

    def abort(self) -> None:
        """Closes at once, with what the kernel still holds for a client that does not read it."""
        assert self.socket is not None
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.handle_close()

    def _patience(self) -> float:
        request = self.request
        if request is None:
            return KEEP_ALIVE_SECONDS
        return REQUEST_SECONDS if request.headers_finished else HEADER_SECONDS


class Listener(TcpWSGIServer):
    channel_class = Connection

    def handle_accept(self) -> None:
        try:
            accepted = self.accept()
            if accepted is None:  # another process was faster
                return
            connection, address = accepted
            self.set_socket_options(connection)
        except OSError:  # gone before it was accepted
            return
        if self._is_one_too_many(address[0]):
            connection.close()
            return
        self._make_room()
        self.channel_class(self, connection, address, self.adj, map=self._map)

    def _is_one_too_many(self, address: str) -> bool:
        if address in SHARED_ADDRESSES or is_trusted_proxy(address):
            return False
        count: int = sum(channel.addr[0] == address for channel in self.active_channels.values())
        return count >= MOST_OF_AN_ADDRESS

    def _make_room(self) -> None:
        """When all places are taken, the connection that has waited longest for its client is closed. A request that
        is sent at once is received before it could come to that."""
        open_now = self.active_channels.values()
        if len(open_now) < MOST_CONNECTIONS:
            return
        waiting = [channel for channel in open_now if channel.is_waiting]
        if waiting:
            min(waiting, key=lambda channel: channel.waiting_since).abort()

    def maintenance(self, now: float) -> None:
        for channel in list(self.active_channels.values()):
            if channel.is_overdue(now):
                channel.abort()


class BufferingWorker(Worker):
    def init_process(self) -> None:
        self.connections: dict[int, Any] = {}
        self.listeners: list[Listener] = []
        super().init_process()

    def run(self) -> None:
        adjustments = Adjustments(
            threads=self.cfg.threads,
            backlog=self.cfg.backlog,
            ident="",
            cleanup_interval=LOOP_SECONDS,
            connection_limit=2 * MOST_CONNECTIONS,  # never reached: the listener makes room
            max_request_header_size=HEADER_BYTES,
            max_request_body_size=BODY_BYTES,
            inbuf_overflow=IN_MEMORY_BYTES,
            outbuf_high_watermark=OUTPUT_BYTES,
            log_socket_errors=False,
        )
        threads = ThreadedTaskDispatcher()
        threads.set_thread_count(self.cfg.threads)
        self.listeners = [
            Listener(
                self.wsgi,
                self.connections,
                True,
                listener.sock,
                dispatcher=threads,
                adj=adjustments,
                sockinfo=(
                    listener.sock.family,
                    listener.sock.type,
                    listener.sock.proto,
                    listener.getsockname(),
                ),
                bind_socket=False,
            )
            for listener in self.sockets
        ]
        while self.alive and self.ppid == os.getppid():
            self._turn()
        self._finish()
        threads.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        for listener in self.listeners:
            listener.pull_trigger()

    def _turn(self) -> None:
        self.notify()
        wasyncore.loop(timeout=LOOP_SECONDS, use_poll=True, map=self.connections, count=1)

    def _finish(self) -> None:
        """Accepts no more, and answers what has arrived, for `graceful_timeout` at most."""
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
            self._turn()
