"""One POST to an address of a merchant, and no more than that (ADR 12).

The connection goes to the address that was checked, with the host's name in the Host header, in SNI and in the
certificate's check. No redirect is followed, no proxy and no .netrc of ours is used, one deadline covers everything
from the connection to the last byte, and only the beginning of the answer is read.
"""

import contextlib
import functools
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from common.deadlines import BoundedSocket, Deadline
from webhooks.guard import AddressRefused, Ip, NameUnknown, Target, parse, resolve
from webhooks.models import AttemptOutcome

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


def post(url: str, *, headers: Mapping[str, str], body: bytes, total_seconds: float) -> Reply:
    """Never raises for what the other side, its name servers or the network do."""
    began = time.monotonic()

    def reply(outcome: AttemptOutcome, **more: object) -> Reply:
        return Reply(outcome, round((time.monotonic() - began) * 1000), **more)  # type: ignore[arg-type]

    try:
        target = parse(url)
        addresses = resolve(target)
        deadline = Deadline(total_seconds)
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


def _connect(target: Target, addresses: list[Ip], deadline: Deadline) -> socket.socket:
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
    target: Target, sock: socket.socket, deadline: Deadline, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = BoundedSocket(sock, deadline.left)
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
