"""Redis hangs, is full or is killed: no request fails, and each waits for a fraction of a second at most."""

import signal
import time
from collections.abc import Callable, Iterator

import pytest
from celery import current_app
from django.test import Client

from common import redis
from tests.support.redis_server import OwnRedis, own_redis
from tests.support.shop import create, data, new_no, opened, payment_request
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

# Each use of Redis waits for one timeout until the outage is known. Earlier it was 5 to 10 s.
FIRST_SECONDS = 3.0
# Two of the five payments wait for the reconnecting thread.
NEXT_FIVE_SECONDS = 6.0
# On a loaded machine everything takes longer: the limit is this many times the duration of two requests with Redis.
LOADED = 20


@pytest.fixture
def server(settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnRedis]:
    """A Redis server that serves the cache, rate limits, breakers and wake-up hints of this process."""
    settings.RATE_LIMIT_PER_SECOND = 100
    with own_redis() as server:
        cache = settings.CACHES["default"]
        seconds = settings.REDIS_TIMEOUT_SECONDS
        options = {**cache["OPTIONS"], "SOCKET_TIMEOUT": seconds, "SOCKET_CONNECT_TIMEOUT": seconds}
        settings.CACHES = {"default": {**cache, "LOCATION": server.url, "OPTIONS": options}}
        monkeypatch.setattr(current_app.conf, "broker_write_url", server.url)
        yield server


def _freeze(server: OwnRedis) -> None:
    server.process.signal(signal.SIGSTOP)


def _pause(server: OwnRedis) -> None:
    with server.client() as client:
        client.client_pause(60_000)


def _fill(server: OwnRedis) -> None:
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)


def _kill(server: OwnRedis) -> None:
    server.process.kill()


@pytest.mark.parametrize("harm", [_freeze, _pause, _fill, _kill])
def test_payments_continue_without_redis(
    server: OwnRedis, client: SignedClient, harm: Callable[[OwnRedis], None]
) -> None:
    body, key = payment_request("auto_pay"), new_no("KEY")
    began = time.monotonic()
    before = client.post("/api/v1/payments", body, idempotency_key=key)
    page = "/checkout/" + opened(client)["payment_url"].rpartition("/")[2]
    loaded_seconds = LOADED * (time.monotonic() - began)
    harm(server)
    with _at_most(FIRST_SECONDS + loaded_seconds):
        assert Client().post(page, {"action": "pay"}).status_code == 303  # with a hint for a worker
    with _at_most(NEXT_FIVE_SECONDS + loaded_seconds):
        for _ in range(4):
            assert data(create(client, "auto_pay"))["status"] == "succeeded"
        assert client.post("/api/v1/payments", body, idempotency_key=key).content == before.content
    with _at_most(FIRST_SECONDS + loaded_seconds):
        assert client.get("/readyz").status_code == 200


def test_redis_is_used_again_when_it_answers(server: OwnRedis, client: SignedClient) -> None:
    _freeze(server)
    data(create(client, "auto_pay"))
    server.process.signal(signal.SIGCONT)
    deadline = time.monotonic() + 60
    while redis.attempt(lambda connection: connection.ping(), otherwise=False) is False:
        assert time.monotonic() < deadline
    body, key = payment_request("auto_pay"), new_no("KEY")
    data(client.post("/api/v1/payments", body, idempotency_key=key))
    with server.client() as own:
        assert own.exists(f"payment-gateway:idempotency:{key}")


class _at_most:  # noqa: N801 - reads as a statement
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> None:
        took = time.monotonic() - self._began
        assert kind is not None or took < self._seconds, f"took {took:.1f} s"
