"""Request smuggling: a proxy and the server behind it may see different ends of these requests, so that a part of the
body becomes a request of its own."""

import socket

from tests.support.waiting import PATIENCE_SECONDS

# The request that an attacker hides in a body. A server must not answer it.
HIDDEN = b"GET /healthz?hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
LENGTH = b"Content-Length: %d" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"


def request(*headers: bytes, body: bytes = HIDDEN, version: bytes = b"1.1", end: bytes = b"\r\n") -> bytes:
    lines = [b"POST /api/v1/payments HTTP/" + version, b"Host: localhost", *headers, b"", b""]
    return end.join(lines) + body


SMUGGLED = {
    "both lengths, the body is chunked": request(LENGTH, CHUNKED, body=LAST_CHUNK + HIDDEN),
    "both lengths, in the other order": request(CHUNKED, b"Content-Length: 4", body=LAST_CHUNK + HIDDEN),
    "both lengths, and the connection stays": request(
        b"Connection: keep-alive", b"Content-Length: 5", CHUNKED, body=LAST_CHUNK + HIDDEN
    ),
    "chunked in HTTP/1.0": request(b"Connection: keep-alive", CHUNKED, version=b"1.0"),
    "an unknown encoding": request(b"Transfer-Encoding: xchunked", LENGTH),
    "an encoding before chunked": request(b"Transfer-Encoding: gzip, chunked", body=LAST_CHUNK + HIDDEN),
    "an encoding after chunked": request(b"Transfer-Encoding: chunked, identity", body=LAST_CHUNK + HIDDEN),
    "a vertical tab before chunked": request(b"Transfer-Encoding:\x0bchunked", LENGTH),
    "a space before the colon": request(b"Transfer-Encoding : chunked", LENGTH),
    "a tab before the colon": request(b"Transfer-Encoding\t: chunked", LENGTH),
    "a name that begins with a space": request(
        b" Transfer-Encoding: chunked", LENGTH, body=LAST_CHUNK + HIDDEN
    ),
    "a continued line": request(b"Transfer-Encoding:\r\n chunked", LENGTH, body=LAST_CHUNK + HIDDEN),
    "a bare line feed before a header": request(b"X: y\nTransfer-Encoding: chunked", LENGTH),
    "a bare carriage return before a header": request(b"X: y\rTransfer-Encoding: chunked", LENGTH),
    "two different lengths": request(b"Content-Length: 0", LENGTH),
    "the same length twice": request(LENGTH, LENGTH),
    "two lengths in one header": request(b"Content-Length: 0, %d" % len(HIDDEN)),
    "a length with a sign": request(b"Content-Length: +%d" % len(HIDDEN)),
    "a negative length": request(b"Content-Length: -1"),
    "a hexadecimal length": request(b"Content-Length: 0x%x" % len(HIDDEN)),
    "a length with a point": request(b"Content-Length: 0.0"),
    "a length with a space": request(b"Content-Length: 0 0"),
    "a length of other digits": request("Content-Length: ０".encode()),
    "an empty length": request(b"Content-Length:"),
    "NUL in a header": request(b"X: y\0", b"Content-Length: 0"),
    "a header without a name": request(b": y", b"Content-Length: 0"),
    "a header without a colon": request(b"Content-Length 0"),
    "a space in a name": request(b"X Y: z", b"Content-Length: 0"),
    "chunks: a hexadecimal mark": request(CHUNKED, body=b"0x0\r\n\r\n" + HIDDEN),
    "chunks: a sign": request(CHUNKED, body=b"+0\r\n\r\n" + HIDDEN),
    "chunks: a negative size": request(CHUNKED, body=b"-1\r\n\r\n" + HIDDEN),
    "chunks: no size": request(CHUNKED, body=b"\r\n\r\n" + HIDDEN),
    "chunks: more than the size": request(CHUNKED, body=b"1\r\nabc\r\n0\r\n\r\n" + HIDDEN),
    "chunks: a line feed in an extension": request(CHUNKED, body=b"2;a\nb\r\n{}\r\n0\r\n\r\n" + HIDDEN),
}


def count_answers(port: int, sent: bytes) -> tuple[int, bytes]:
    """Returns the number of answers before the server closes the connection, and the received bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(sent)
        received = b""
        try:
            while piece := client.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
    return received.count(b"HTTP/1.1 ") + received.count(b"HTTP/1.0 "), received
