"""Sends a POST to a merchant's address under the rules of ADR 12.

The connection goes to the IP address that the SSRF guard checked; the host's name is used in the Host header, in SNI
and to verify the certificate. It follows no redirect, uses no proxy and no .netrc, has one deadline for everything from
the connection to the last byte, and reads only the beginning of the response.
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
from webhooks.models import AttemptOutcome
from webhooks.ssrf_guard import (
    AddressRefused,
    HostNotResolved,
    IpAddress,
    WebhookUrl,
    parse_url,
    resolve_host,
)

MAX_BODY_BYTES = 1024
MAX_HEADERS = 50
MAX_HEADER_LENGTH = 500
USER_AGENT = "payment-platform-webhooks/1.0"


@dataclass(frozen=True, slots=True)
class EndpointResponse:
    """The outcome of one call, with the response if there was one. Only a status of 2xx is a success."""

    outcome: AttemptOutcome
    duration_ms: int
    status_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""


def post_webhook(
    url: str, *, headers: Mapping[str, str], body: bytes, total_seconds: float
) -> EndpointResponse:
    """Never raises for a failure of the endpoint, of its name servers or of the network."""
    started = time.monotonic()

    def response(outcome: AttemptOutcome, **more: object) -> EndpointResponse:
        return EndpointResponse(outcome, round((time.monotonic() - started) * 1000), **more)  # type: ignore[arg-type]

    try:
        target = parse_url(url)
        addresses = resolve_host(target)
        deadline = Deadline(total_seconds)
        with contextlib.closing(_connect(target, addresses, deadline)) as sock:
            status, response_headers, beginning = _exchange(target, sock, deadline, headers, body)
    except AddressRefused as error:
        return response(AttemptOutcome.REFUSED, error=str(error))
    except TimeoutError as error:
        return response(AttemptOutcome.TIMEOUT, error=str(error))
    except (HostNotResolved, OSError, http.client.HTTPException) as error:
        return response(AttemptOutcome.UNREACHABLE, error=f"{type(error).__name__}: {error}"[:500])
    outcome = AttemptOutcome.SUCCESS if 200 <= status < 300 else AttemptOutcome.REJECTED
    return response(outcome, status_code=status, headers=response_headers, body=beginning)


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Made once: loading the certificate authorities takes longer than a handshake."""
    return ssl.create_default_context()


def _connect(target: WebhookUrl, addresses: list[IpAddress], deadline: Deadline) -> socket.socket:
    """Connects to the first address that answers. All of them have passed the SSRF guard."""
    failure: OSError | None = None
    for number, address in enumerate(addresses):
        # Each address gets a share of the time, so that one that does not answer leaves some for the next.
        share = deadline.remaining_seconds() / (len(addresses) - number)
        try:
            sock = socket.create_connection((str(address), target.port), timeout=share)
        except OSError as error:
            failure = error
            continue
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if target.scheme == "http":
                return sock
            sock.settimeout(deadline.remaining_seconds())
            return _tls_context().wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise
    assert failure is not None
    raise failure


def _exchange(
    target: WebhookUrl, sock: socket.socket, deadline: Deadline, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Sends the request; returns status, headers and the beginning of the body."""
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = BoundedSocket(sock, deadline.remaining_seconds)
    connection.putrequest("POST", target.path, skip_host=True, skip_accept_encoding=True)
    own_headers = {"Host": target.host_header, "User-Agent": USER_AGENT, "Connection": "close"}
    for name, value in {**own_headers, **headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    beginning = b""
    # The status decides. A body that breaks off, never ends or is malformed does not change the outcome.
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        beginning = response.read(MAX_BODY_BYTES)
    kept_headers = {
        name[:MAX_HEADER_LENGTH]: value[:MAX_HEADER_LENGTH]
        for name, value in response.getheaders()[:MAX_HEADERS]
    }
    return response.status, kept_headers, beginning
