"""One deadline for a whole call. A socket's own timeout bounds each read alone, so slow bytes would extend it."""

import io
import socket
import time
from collections.abc import Callable
from typing import Any


class Deadline:
    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """Raises `TimeoutError` after the deadline."""
        remaining = self._at - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the time for the whole call is over")
        return remaining


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, remaining_seconds: Callable[[], float]) -> None:
        self._sock, self._remaining_seconds = sock, remaining_seconds
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open, as http.client expects

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int | None:  # type: ignore[override]
        self._sock.settimeout(self._remaining_seconds())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedSocket:
    """A socket for http.client whose operations end at a deadline.

    `remaining_seconds` raises `TimeoutError` after it.
    """

    def __init__(self, sock: socket.socket, remaining_seconds: Callable[[], float]) -> None:
        self._sock, self._remaining_seconds = sock, remaining_seconds

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._remaining_seconds())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._sock, self._remaining_seconds))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
