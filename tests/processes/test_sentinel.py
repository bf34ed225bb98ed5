"""Redis behind Sentinel: the master is killed, and all users of Redis find the new one by themselves."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from common import redis as accelerator
from sagas.wakeups import listen_for_wakeups, redis_key, send_wakeup_now
from tests.support.read_settings import read_settings
from tests.support.sentinel import WatchedRedis, watched_redis
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def servers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedRedis]:
    """The settings that `REDIS_URL` gives, with shorter timeouts."""
    with watched_redis() as servers:
        found = read_settings("redis", REDIS_URL=servers.url)
        options = found["CACHES"]["default"]["OPTIONS"]
        for timeout in ("SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT"):
            options[timeout] = PATIENCE_SECONDS
        for timeout in ("socket_timeout", "socket_connect_timeout"):
            options["SENTINEL_KWARGS"][timeout] = PATIENCE_SECONDS
        settings.REDIS_ADDRESS, settings.SENTINEL_OPTIONS = found["REDIS_ADDRESS"], options["SENTINEL_KWARGS"]
        settings.CACHES = found["CACHES"]
        monkeypatch.setattr(accelerator, "_paused_until", 0.0)
        yield servers


def put(value: str) -> bool:
    return accelerator.attempt(lambda client: bool(client.set("probe", value)), otherwise=False)


def test_cache_wake_up_and_broker_follow_the_master(servers: WatchedRedis) -> None:
    woken, stop, has_room = threading.Event(), threading.Event(), threading.Event()
    has_room.set()
    listener = threading.Thread(
        target=listen_for_wakeups,
        args=("default",),
        kwargs={"has_room": has_room, "wake": woken.set, "stop": stop},
    )
    broker = read_settings("celery", REDIS_URL=servers.url)
    options = broker["CELERY_BROKER_TRANSPORT_OPTIONS"]
    patience = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), PATIENCE_SECONDS)
    options |= patience
    options["sentinel_kwargs"] |= patience
    with Connection(broker["CELERY_BROKER_URL"], transport_options=options) as publisher:
        queue = publisher.SimpleQueue("periodic")
        assert put("before")
        with servers.first.client() as client:
            client.select(3)
            assert client.get("probe") == "before"
        queue.put("before")
        assert queue.get(timeout=PATIENCE_SECONDS).payload == "before"
        listener.start()
        try:
            send_wakeup_now("default")
            assert woken.wait(PATIENCE_SECONDS)
            woken.clear()

            servers.first.process.kill()
            assert put("meanwhile") is False  # and no error
            servers.fail_over()

            wait_until(lambda: put("after"), PATIENCE_SECONDS, "the cache to find the new master")
            with servers.second.client() as client:
                client.select(3)
                assert client.get("probe") == "after"
            send_wakeup_now("default")
            assert woken.wait(PATIENCE_SECONDS), redis_key("default")
            wait_until(lambda: _passes_on(queue, publisher), PATIENCE_SECONDS, "the broker")
        finally:
            stop.set()
            listener.join()


def _passes_on(queue: Any, publisher: Connection) -> bool:
    """Tries again with a new connection after each of these errors, as a worker does."""
    try:
        queue.put("after")
        return bool(queue.get(timeout=PATIENCE_SECONDS).payload == "after")
    except publisher.connection_errors:
        return False
