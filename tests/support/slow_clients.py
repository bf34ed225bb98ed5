"""Hostile clients: they open connections and hardly use them."""

import contextlib
import enum
import select
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

DRIP_SECONDS = 0.2
HEAD = "Host: localhost\r\n"


class Kind(enum.Enum):
    SILENT = "sends nothing"
    HALF_OPEN = "sends half a request line"
    DRIPPING_HEADER = "sends a header byte by byte, without end"
    DRIPPING_BODY = "sends a body byte by byte"
    SLOW_READER = "asks for a big answer and reads a byte at a time"


FIRST_BYTES = {
    Kind.SILENT: "",
    Kind.HALF_OPEN: "GET /healthz HTT",
    Kind.DRIPPING_HEADER: f"GET /healthz HTTP/1.1\r\n{HEAD}X-Slow: ",
    Kind.DRIPPING_BODY: f"POST /api/v1/payments HTTP/1.1\r\n{HEAD}Content-Length: 100000\r\n\r\n{{",
}


class Attack:
    """Opens `count` connections of alternating kinds from alternating addresses, until the block ends."""

    def __init__(
        self,
        port: int,
        *,
        count: int,
        kinds: Sequence[Kind],
        big: str,
        sources: Sequence[str] = ("127.0.0.1",),
    ) -> None:
        self.port, self.count, self.kinds, self.big, self.sources = port, count, kinds, big, sources
        self.open: dict[socket.socket, Kind] = {}
        self.closed: Counter[Kind] = Counter()
        self.answered: dict[socket.socket, Kind] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)

    def __enter__(self) -> Self:
        for number in range(self.count):
            kind = self.kinds[number % len(self.kinds)]
            self._connect(kind, self.sources[number // len(self.kinds) % len(self.sources)])
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for each in self.open:
            each.close()

    def left(self) -> Counter[Kind]:
        """The connections that the server has not closed."""
        return Counter(list(self.open.values()))

    def _connect(self, kind: Kind, source: str) -> None:
        client = socket.socket()
        if kind == Kind.SLOW_READER:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.bind((source, 0))
        client.settimeout(60)
        client.connect(("127.0.0.1", self.port))
        first = FIRST_BYTES.get(kind) or f"GET {self.big} HTTP/1.1\r\n{HEAD}\r\n"
        if kind != Kind.SILENT:
            client.sendall(first.encode())
        client.setblocking(False)
        self.open[client] = kind

    def _drip(self) -> None:
        while not self._over.wait(DRIP_SECONDS):
            poll = select.poll()
            for client in self.open:
                poll.register(client, select.POLLIN)
            seen = dict(poll.poll(0))
            for client, kind in list(self.open.items()):
                if self._is_over(client, kind, seen.get(client.fileno(), 0)):
                    self.closed[kind] += 1
                    del self.open[client]
                    client.close()

    def _is_over(self, client: socket.socket, kind: Kind, seen: int) -> bool:
        if seen & (select.POLLERR | select.POLLHUP):  # also while there is something to read
            return True
        try:
            if seen & select.POLLIN:
                read = client.recv(1 if kind == Kind.SLOW_READER else 10_000)
                if not read:
                    return True
                self.answered[client] = kind
            if kind in (Kind.DRIPPING_HEADER, Kind.DRIPPING_BODY):
                with contextlib.suppress(BlockingIOError):
                    client.send(b"x")
        except OSError:
            return True
        return False
