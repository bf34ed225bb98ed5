"""The Kafka sink over TLS and SASL, tested from the side of the broker.

librdkafka's mock cluster supports neither. The broker here answers requests until the authentication:
https://kafka.apache.org/protocol (ApiVersions 18, SaslHandshake 17, SaslAuthenticate 36).
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka import Producer

from events.sinks.kafka import PRODUCER, librdkafka_log
from tests.support.certificates import Authority
from tests.support.read_settings import read_settings
from tests.support.waiting import PATIENCE_SECONDS

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
VERSIONS = {API_VERSIONS: 3, HANDSHAKE: 1, AUTHENTICATE: 1}


@dataclass
class Broker:
    """Accepts one connection, stores the request of each kind, and closes the connection after the last kind."""

    certificate: tuple[Path, Path]
    last: int
    authority: Path | None = None  # the authority of client certificates, if the broker requires one
    requests: dict[int, bytes] = field(default_factory=dict)
    client: str = ""  # the name in the client's certificate
    is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        if self.authority:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        with contextlib.suppress(
            OSError
        ):  # the client closes the connection when it does not trust the broker
            plain, _address = self._listener.accept()
            with context.wrap_socket(plain, server_side=True) as connection:
                self.client = str((connection.getpeercert() or {}).get("subject", ""))
                for api, body in _read_requests(connection, last=self.last):
                    self.requests[api] = body
        self.is_over.set()


def _read_requests(connection: ssl.SSLSocket, *, last: int) -> Iterator[tuple[int, bytes]]:
    stream = connection.makefile("rb")
    while size := stream.read(4):
        request = stream.read(struct.unpack(">i", size)[0])
        api, _version, correlation = struct.unpack(">hhi", request[:8])
        yield api, request[8:]
        if api == last:
            return
        answer = struct.pack(">i", correlation) + (_versions() if api == API_VERSIONS else _mechanisms())
        connection.sendall(struct.pack(">i", len(answer)) + answer)


def _versions() -> bytes:
    supported = b"".join(struct.pack(">hhhB", api, 0, newest, 0) for api, newest in VERSIONS.items())
    return struct.pack(">hB", 0, len(VERSIONS) + 1) + supported + struct.pack(">iB", 0, 0)


def _mechanisms() -> bytes:
    return struct.pack(">hih", 0, 1, 5) + b"PLAIN"


def connect(broker: Broker, **settings: str) -> None:
    """Connects a producer, and waits until the broker or the client has closed the connection."""
    connection = read_settings("events", KAFKA_BROKERS=broker.address, **settings)["KAFKA_CONNECTION"]
    producer = Producer({**PRODUCER, **connection}, logger=librdkafka_log)
    producer.produce("payment.events", b"{}")
    assert broker.is_over.wait(PATIENCE_SECONDS)
    producer.purge()


def test_user_and_password_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Broker(authority.issue("broker"), AUTHENTICATE) as broker:
        connect(
            broker,
            KAFKA_SECURITY_PROTOCOL="SASL_SSL",
            KAFKA_SASL_MECHANISM="PLAIN",
            KAFKA_SASL_USERNAME="relay",
            KAFKA_SASL_PASSWORD="s3cret",
            KAFKA_CA_FILE=str(authority.file),
        )
    assert broker.requests[AUTHENTICATE].endswith(b"\0relay\0s3cret")


def test_certificate_of_ours(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("relay")
    with Broker(authority.issue("broker"), API_VERSIONS, authority.file) as broker:
        connect(
            broker,
            KAFKA_SECURITY_PROTOCOL="SSL",
            KAFKA_CA_FILE=str(authority.file),
            KAFKA_CERTIFICATE_FILE=str(certificate),
            KAFKA_KEY_FILE=str(key),
        )
    assert "relay" in broker.client
    assert API_VERSIONS in broker.requests


@pytest.mark.parametrize("reason", ["another authority", "another address"])
def test_a_broker_that_is_not_trusted_gets_nothing(tmp_path: Path, reason: str) -> None:
    authority = Authority(tmp_path)
    certificate = (
        Authority(tmp_path, "stranger").issue("broker")
        if reason == "another authority"
        else authority.issue("broker", "127.0.0.2")
    )
    with Broker(certificate, API_VERSIONS) as broker:
        connect(broker, KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_CA_FILE=str(authority.file))
    assert broker.requests == {}
