"""One POST to an address of a merchant, and no more than that (ADR 12).

The connection goes to the address that was checked, with the host's name in the Host header, in SNI and in the
certificate's check. No redirect is followed, no proxy and no .netrc of ours is used, one deadline covers everything
from the connection to the last byte, and only the beginning of the answer is read.
"""

import contextlib
import functools
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from events.webhooks.guard import AddressRefused, Ip, NameUnknown, Target, parse, resolve
from events.webhooks.models import AttemptOutcome

MAX_BODY_BYTES = 1024
MAX_HEADERS = 50
MAX_HEADER_LENGTH = 500
USER_AGENT = "payment-platform-webhooks/1.0"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a call. Only a status of 2xx is a success."""

    outcome: AttemptOutcome
    duration_ms: int
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""


class _Deadline:
    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """Raises `TimeoutError` once it is over."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole call is over")
        return left


class _PatientOnce(io.RawIOBase):
    """Reads of a socket that together may take no longer than the deadline: a byte now and then keeps nothing open."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        self._sock.settimeout(self._deadline.left())
        return self._sock.recv_into(buffer)


class _BoundedSocket:
    """As much of a socket as http.client uses."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.left())
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PatientOnce(self._sock, self._deadline))

    def close(self) -> None:
        """http.client lets go before the answer's body is read; whoever connected closes."""


def post(url: str, *, headers: Mapping[str, str], body: bytes, total_seconds: float) -> Reply:
    """Never raises for what the other side, its name servers or the network do."""
    began = time.monotonic()

    def reply(outcome: AttemptOutcome, **more: object) -> Reply:
        return Reply(outcome, round((time.monotonic() - began) * 1000), **more)  # type: ignore[arg-type]

    try:
        target = parse(url)
        addresses = resolve(target)
        deadline = _Deadline(total_seconds)
        with contextlib.closing(_connect(target, addresses, deadline)) as sock:
            status, answered, beginning = _exchange(target, sock, deadline, headers, body)
    except AddressRefused as error:
        return reply(AttemptOutcome.REFUSED, error=str(error))
    except TimeoutError as error:
        return reply(AttemptOutcome.TIMEOUT, error=str(error))
    except (NameUnknown, OSError, http.client.HTTPException) as error:
        return reply(AttemptOutcome.UNREACHABLE, error=f"{type(error).__name__}: {error}"[:500])
    outcome = AttemptOutcome.SUCCESS if 200 <= status < 300 else AttemptOutcome.REJECTED
    return reply(outcome, status_code=status, headers=answered, body=beginning)


@functools.cache
def _tls() -> ssl.SSLContext:
    """Reading the authorities' certificates costs more than a handshake."""
    return ssl.create_default_context()


def _connect(target: Target, addresses: list[Ip], deadline: _Deadline) -> socket.socket:
    """The first address that answers: they were all found allowed."""
    failure: OSError | None = None
    for number, address in enumerate(addresses):
        # A share of the time for each, so that one silent address does not use it up.
        share = deadline.left() / (len(addresses) - number)
        try:
            sock = socket.create_connection((str(address), target.port), timeout=share)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.scheme == "http":
                return sock
            sock.settimeout(deadline.left())
            return _tls().wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
    assert failure is not None
    raise failure


def _exchange(
    target: Target, sock: socket.socket, deadline: _Deadline, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = _BoundedSocket(sock, deadline)
    connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
    standing = {"Host": target.host_header, "User-Agent": USER_AGENT, "Connection": "close"}
    for name, value in {**standing, **headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    beginning = b""
    # The status decides. A body that breaks off, never ends or is nonsense changes nothing about it.
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        beginning = response.read(MAX_BODY_BYTES)
    kept = {
        name[:MAX_HEADER_LENGTH]: value[:MAX_HEADER_LENGTH]
        for name, value in response.getheaders()[:MAX_HEADERS]
    }
    return response.status, kept, beginning
