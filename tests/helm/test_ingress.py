"""The edge behind an Ingress: a real nginx with the configuration that the chart renders."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.nginx import run_edge
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack

# TRUSTED_PROXIES of the chart's values has the first one.
CONTROLLER, STRANGER = "127.0.5.1", "127.0.6.1"
CLIENT, OTHER_CLIENT = "203.0.113.7", "2001:db8::7"


class _Gateway(BaseHTTPRequestHandler):
    """A gateway that answers with the headers of the request."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture(scope="module")
def edge(helm: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the edge."""
    created = helm["installed"][1]["created"]
    (templates,) = [each["data"] for each in created if each["kind"] == "ConfigMap"]
    configuration = {
        # A loaded machine may be slow; a waiting body must not end the connection.
        name.removesuffix(".template"): text.replace("client_body_timeout 10s", "client_body_timeout 1h")
        for name, text in templates.items()
    }
    gateway = ThreadingHTTPServer(("127.0.0.1", 0), _Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    with run_edge(tmp_path_factory.mktemp("nginx"), configuration, gateway.server_port) as port:
        yield port
    gateway.shutdown()
    gateway.server_close()


def seen_by_gateway(edge: int, source: str, **forwarded: str) -> tuple[str, str]:
    client = http.client.HTTPConnection("127.0.0.1", edge, PATIENCE_SECONDS, (source, 0))
    headers = {f"X-Forwarded-{name}": value for name, value in forwarded.items()}
    client.request("GET", "/", headers=headers)
    seen: dict[str, Any] = json.loads(client.getresponse().read())
    client.close()
    return seen["X-Forwarded-For"], seen["X-Forwarded-Proto"]


@pytest.mark.parametrize(
    "chain", [CLIENT, f"198.51.100.1, {CLIENT}", f"{CLIENT}, 10.1.2.3", f"{CLIENT},10.1.2.3, 127.0.5.9"]
)
def test_the_controller_names_the_client_and_its_scheme(edge: int, chain: str) -> None:
    assert seen_by_gateway(edge, CONTROLLER, For=chain, Proto="https") == (CLIENT, "https")
    assert seen_by_gateway(edge, CONTROLLER, For=chain, Proto="http") == (CLIENT, "http")
    assert seen_by_gateway(edge, CONTROLLER, For=chain) == (CLIENT, "http")


def test_other_clients_cannot_name_a_client_or_scheme(edge: int) -> None:
    assert seen_by_gateway(edge, STRANGER, For=CLIENT, Proto="https") == (STRANGER, "http")


def test_each_client_has_its_own_limit_of_connections(edge: int) -> None:
    """After `100 Continue`, a request counts towards the limit."""
    waiting = [send_head(edge, CLIENT) for _number in range(50)]
    try:
        assert {read_status(each) for each in waiting} == {100}
        with send_head(edge, CLIENT) as one_too_many, send_head(edge, OTHER_CLIENT) as other:
            assert (read_status(one_too_many), read_status(other)) == (429, 100)
    finally:
        for each in waiting:
            each.close()


def send_head(edge: int, client: str) -> socket.socket:
    """Sends the head of a request without its body."""
    connection = socket.create_connection(("127.0.0.1", edge), PATIENCE_SECONDS, (CONTROLLER, 0))
    connection.sendall(
        b"POST / HTTP/1.1\r\nHost: pay.example.com\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"
        + f"X-Forwarded-For: {client}\r\n\r\n".encode()
    )
    return connection


def read_status(connection: socket.socket) -> int:
    return int(connection.recv(12, socket.MSG_WAITALL).split()[1])
