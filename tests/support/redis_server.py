"""A Redis server for one test, which freezes, fills and kills it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from scripts.local.redis import RedisServer
from tests.support.processes import START_SECONDS, Process, free_port
from tests.support.waiting import wait_until


class OwnRedis:
    def __init__(self, directory: Path) -> None:
        self._server = RedisServer(directory / "redis", free_port())
        self.process = Process("redis", [], directory / "redis.log", {})
        self.url = f"redis://127.0.0.1:{self._server.port}/0"

    def start(self) -> None:
        self.process.account = self._server.create()
        self.process.command = self._server.command(self.process.account)
        self.process.start()
        wait_until(self._answers, START_SECONDS, "Redis")

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    with tempfile.TemporaryDirectory(prefix="payment-redis-") as directory:
        Path(directory).chmod(0o755)  # the server's account passes through
        server = OwnRedis(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.process.kill()
