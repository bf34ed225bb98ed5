"""The SSRF guard, and the limits of the HTTP client against a hostile endpoint."""

import ipaddress
import socket
import time
from typing import Any

import pytest

from tests.support.receiver import Receiver, WebhookResponse, raw_server
from webhooks import http_client, ssrf_guard
from webhooks.models import AttemptOutcome
from webhooks.ssrf_guard import AddressRefused

PUBLIC = "93.184.216.34"

REFUSED_BY_FORM = [
    "ftp://shop.example/", "file:///etc/passwd", "gopher://shop.example/", "javascript:alert(1)", "//shop.example/",
    "shop.example/hook", "http://", "https:///hook", "http://user@shop.example/", "http://user:pw@shop.example/",
    "http://@shop.example/", "http://shop.example:22/", "http://shop.example:6379/", "http://shop.example:0/",
    "http://shop.example:99999/", "http://shop.example/#f", "http://shop .example/", "http://shop.example/\nHost: x",
    "http://shop.example\\@127.0.0.1/", "http://１２７.0.0.1/", "http://shop。example/", "http://-x.example/",
    "http://localhost/", "http://LocalHost.:8080/", "http://a.localhost/",
    "http://127.0.0.1/", "http://127.1/", "http://127.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/",
    "http://017700000001/", "http://0177.0.0.1/", "http://127.0.0.1./", "http://0/", "http://0.0.0.0/",
    "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/", "http://[ff02::1]/", "http://[2001:0:7f00:1::]/", "http://[::ffff:0:127.0.0.1]/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/", "http://192.0.0.1/", "http://198.18.0.1/", "http://224.0.0.1/", "http://240.0.0.1/",
    "http://255.255.255.255/", "http://[::ffff:169.254.169.254]/", "http://" + "a" * 64 + ".example/",
    "http://shop.example/" + "x" * 2000,
    # Metadata services of clouds, and notations that filters have overlooked.
    "http://169.254.170.2/v2/credentials", "http://168.63.129.16/", "http://168.63.129.16./metadata",
    "http://100.100.100.200/", "http://192.0.0.192/", "http://[fd00:ec2::254]/", "http://[::ffff:a9fe:a9fe]/",
    "http://[::a9fe:a9fe]/", "http://[0:0:0:0:0:ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/", "http://[::ffff:168.63.129.16]/", "http://2852039166/", "http://0xa9fea9fe/",
    "http://025177524776/", "http://169.254.43518/", "http://0xa9.0xfe.0xa9.0xfe/", "http://0251.0376.0251.0376/",
    "http://0251.254.169.254/", "http://169.16689662/", "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.shop.example/", "http://127.0.0.1%2f.shop.example/", "http://shop.example:80@127.0.0.1/",
    "http://shop.example%40127.0.0.1/", "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://127.0.0.1:80:80/",
    "http://[127.0.0.1]/", "http://[::1]shop.example/", "http://[::1%25lo]/", "http:127.0.0.1/", "http:/127.0.0.1/",
    "http:\\127.0.0.1/", "HTTP://127.0.0.1/", "http://127.0.0.1?@shop.example/", "http://127.0.0.1#@shop.example/",
    "dict://shop.example:80/", "ldap://shop.example/", "http://\t127.0.0.1/", "http://127.0.0.1\r\nHost: x/",
    "data:text/plain,x",
]  # fmt: skip


@pytest.fixture
def no_loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = False


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Replaces the answers of the name server."""
    known: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, *_more: Any, **_kind: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in known.get(host, [host])]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@pytest.mark.parametrize("url", REFUSED_BY_FORM)
def test_a_forbidden_url_is_refused_without_a_dns_lookup(
    url: str, no_loopback: None, dns: dict[str, list[str]]
) -> None:
    with pytest.raises(AddressRefused):
        ssrf_guard.parse_url(url)


@pytest.mark.parametrize(
    ("url", "host_header"),
    [
        ("https://shop.example", "shop.example"),
        ("https://shop.example:443/hook?a=b", "shop.example"),
        ("http://shop.example:8080/", "shop.example:8080"),
        (f"https://{PUBLIC}/hook", PUBLIC),
        ("https://[2606:2800:220:1::1]:8443/", "[2606:2800:220:1::1]:8443"),
        ("https://xn--fiqs8s.example/", "xn--fiqs8s.example"),
    ],
)
def test_allowed_forms(url: str, host_header: str, no_loopback: None) -> None:
    assert ssrf_guard.parse_url(url).host_header == host_header


@pytest.mark.parametrize(
    "addresses",
    [
        *[
            [address]
            for address in (
                "127.0.0.1",
                "0.0.0.0",
                "255.255.255.255",
                "::",
                "fe80::1%eth0",
                "64:ff9b::7f00:1",
            )
        ],
        *[[address] for address in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254")],
        *[[address] for address in ("::ffff:10.0.0.1", "::ffff:a9fe:a9fe")],
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
    ],
)
def test_every_address_of_a_name_must_be_public(
    addresses: list[str], no_loopback: None, dns: dict[str, list[str]]
) -> None:
    dns["shop.example"] = addresses
    with pytest.raises(AddressRefused):
        ssrf_guard.check_new_url("https://shop.example/")
    reply = http_client.post_webhook("http://shop.example/", headers={}, body=b"", total_seconds=5)
    assert reply.outcome == AttemptOutcome.REFUSED


def test_dns_rebinding_is_not_followed(
    no_loopback: None, dns: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection goes to the address that was checked: there is no second lookup."""
    dns["shop.example"] = [PUBLIC]
    connected: list[Any] = []

    def create_connection(address: Any, timeout: float) -> socket.socket:
        dns["shop.example"] = ["127.0.0.1"]
        connected.append(address)
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(socket, "create_connection", create_connection)
    reply = http_client.post_webhook("http://shop.example/", headers={}, body=b"", total_seconds=5)
    assert reply.outcome == AttemptOutcome.UNREACHABLE
    assert connected == [(PUBLIC, 80)]
    reply = http_client.post_webhook("http://shop.example/", headers={}, body=b"", total_seconds=5)
    assert (reply.outcome, len(connected)) == (AttemptOutcome.REFUSED, 1)


def test_the_local_stack_allows_loopback_only(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    assert ssrf_guard.parse_url("http://localhost:3000/callback").port == 3000
    assert ssrf_guard.parse_url("http://[::1]:3000/").host == "::1"
    for other in ("http://10.0.0.1/", "http://169.254.169.254/", "http://shop.example:3000/"):
        with pytest.raises(AddressRefused):
            ssrf_guard.parse_url(other)


def test_the_host_header_has_the_name_although_the_address_is_called(
    dns: dict[str, list[str]], receiver: Receiver
) -> None:
    dns["shop.localhost"] = ["127.0.0.1"]
    port = receiver.url().split(":")[2].split("/")[0]
    reply = http_client.post_webhook(
        f"http://shop.localhost:{port}/", headers={"X-A": "1"}, body=b"{}", total_seconds=10
    )
    assert reply.outcome == AttemptOutcome.SUCCESS
    assert receiver.received[0].headers["host"] == f"shop.localhost:{port}"
    assert "authorization" not in receiver.received[0].headers


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    reply = http_client.post_webhook(receiver.url(), headers={}, body=b"{}", total_seconds=10)
    assert reply.outcome == AttemptOutcome.SUCCESS


def test_only_the_beginning_of_a_huge_response_is_read(receiver: Receiver) -> None:
    receiver.respond = lambda _webhook: WebhookResponse(200, b"x" * 10_000_000)
    reply = http_client.post_webhook(receiver.url(), headers={}, body=b"{}", total_seconds=30)
    assert (reply.outcome, len(reply.body)) == (AttemptOutcome.SUCCESS, 1024)


def send_byte_by_byte(connection: socket.socket, text: bytes) -> None:
    for byte in text:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def test_headers_sent_byte_by_byte_end_at_the_deadline() -> None:
    """Each byte comes in time, but all of them together would take minutes."""
    with raw_server(
        lambda connection: send_byte_by_byte(connection, b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000)
    ) as url:
        began = time.monotonic()
        reply = http_client.post_webhook(url, headers={}, body=b"{}", total_seconds=1)
    assert reply.outcome == AttemptOutcome.TIMEOUT
    assert time.monotonic() - began < 25, "the server would have sent bytes for minutes"


def test_a_body_sent_byte_by_byte_does_not_delay_and_the_status_counts() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"

    def talk(connection: socket.socket) -> None:
        connection.sendall(head)
        send_byte_by_byte(connection, b"x" * 2000)

    with raw_server(talk) as url:
        reply = http_client.post_webhook(url, headers={}, body=b"{}", total_seconds=1)
    assert (reply.outcome, reply.status_code) == (AttemptOutcome.SUCCESS, 200)
    assert reply.duration_ms < 25_000


@pytest.mark.parametrize(
    "malformed",
    [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000],
)
def test_a_malformed_response_is_an_outcome(malformed: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(malformed)) as url:
        reply = http_client.post_webhook(url, headers={}, body=b"{}", total_seconds=10)
    assert reply.outcome == AttemptOutcome.UNREACHABLE
    assert reply.error


@pytest.mark.parametrize("size", [b"-5", b"x", b"FFFFFFFFFFFFFFFF", b"1;" + b"a" * 70_000])
def test_malformed_chunks_do_not_change_the_status(size: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(head + size + b"\r\nabc")) as url:
        reply = http_client.post_webhook(url, headers={}, body=b"{}", total_seconds=10)
    assert (reply.outcome, reply.status_code) == (AttemptOutcome.SUCCESS, 200)


def test_a_refused_connection_is_unreachable() -> None:
    reply = http_client.post_webhook("http://127.0.0.1:1/", headers={}, body=b"{}", total_seconds=10)
    assert (reply.outcome, reply.status_code) == (AttemptOutcome.UNREACHABLE, None)


def test_an_embedded_address_is_checked() -> None:
    for text in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"):
        with pytest.raises(AddressRefused):
            ssrf_guard.require_public_address(ipaddress.ip_address(text))
    ssrf_guard.require_public_address(ipaddress.ip_address("::ffff:8.8.8.8"))
