"""One deadline for everything that is sent and received: a byte now and then keeps nothing open.

A socket's own timeout bounds each read alone.
"""

import io
import socket
import time
from collections.abc import Callable
from typing import Any


class Deadline:
    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Raises `TimeoutError` once it is over."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole call is over")
        return left


class _Patient(io.RawIOBase):
    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock, self._left = sock, left
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open, as http.client expects

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int | None:  # type: ignore[override]
        self._sock.settimeout(self._left())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class BoundedSocket:
    """A socket as http.client uses it. `left` says how much time there is, and raises `TimeoutError` when none is."""

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self._sock, self._left = sock, left

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._left())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Patient(self._sock, self._left))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
