"""Two Redis servers and a Sentinel that watches them, from the binary of the wheel."""

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from scripts.local.redis import RedisServer
from tests.support.processes import START_SECONDS, Process, free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

MASTER_NAME = "TheMaster"


class _Redis:
    def __init__(self, name: str, directory: Path, arguments: list[str]) -> None:
        self.port = free_port()
        self._server, self._arguments = RedisServer(directory / name, self.port), arguments
        self.process = Process(name, [], directory / f"{name}.log", {})

    def start(self) -> None:
        self.process.account = self._server.create()
        self.process.command = [*self._server.command(self.process.account), *self._arguments]
        self.process.start()
        wait_until(self._answers, START_SECONDS, self.process.name)

    def client(self) -> "redis.Redis":
        return redis.Redis("127.0.0.1", self.port, socket_timeout=PATIENCE_SECONDS, decode_responses=True)

    def info(self, section: str) -> dict[str, str]:
        with self.client() as client:
            found: dict[str, str] = client.info(section)
            return found

    def _answers(self) -> bool:
        self.process.require_running()
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False


class WatchedRedis:
    """Two servers and Sentinel. Sentinel never starts a failover by itself, because a slow machine could cause one."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.first = _Redis("first", directory, [])
        self.second = _Redis("second", directory, ["--replicaof", "127.0.0.1", str(self.first.port)])
        self.sentinel_port = free_port()
        self._sentinel = Process("sentinel", [], directory / "sentinel.log", {})
        # The first Sentinel of the list is down.
        self.url = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.sentinel_port}/{MASTER_NAME}/3"

    def start(self) -> None:
        for each in (self.first, self.second):
            each.start()
        wait_until(
            lambda: self.second.info("replication").get("master_link_status") == "up",
            START_SECONDS,
            "the replica",
        )
        self._start_sentinel()
        wait_until(lambda: self._ask("SENTINEL", "REPLICAS", MASTER_NAME), START_SECONDS, "Sentinel")

    def fail_over(self) -> None:
        """Kills the master and orders Sentinel to promote the other one. Sentinel refuses or gives up while it does not
        know the replica well, so the order is repeated until the other one is the master."""
        self.first.process.kill()
        wait_until(
            lambda: (
                self._accepts_failover()
                and self._master_port() == self.second.port
                and self.second.info("replication")["role"] == "master"
            ),
            START_SECONDS,
            "the new master",
        )

    def end(self) -> None:
        for process in (self._sentinel, self.first.process, self.second.process):
            process.kill()

    def _start_sentinel(self) -> None:
        folder = self._directory / "sentinel"
        folder.mkdir()
        account = self.first.process.account
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.sentinel_port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self.first.port} 1\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} 3600000\n"
        )
        for path in (folder, configuration):
            path.chmod(0o777)  # it rewrites its configuration
        self._sentinel.account = account
        binary = self.first.process.command[0]
        self._sentinel.command = [binary, str(configuration), "--sentinel"]
        self._sentinel.start()

    def _ask(self, *command: str) -> object:
        self._sentinel.require_running()
        with (
            contextlib.suppress(redis.RedisError),
            redis.Redis("127.0.0.1", self.sentinel_port, socket_timeout=PATIENCE_SECONDS) as client,
        ):
            return client.execute_command(*command)
        return None

    def _accepts_failover(self) -> bool:
        """False while a failover is in progress, and before Sentinel knows the replica well."""
        return self._master_port() == self.second.port or bool(self._ask("SENTINEL", "FAILOVER", MASTER_NAME))

    def _master_port(self) -> int:
        answer = self._ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return int(answer[1]) if isinstance(answer, list) else 0


@contextmanager
def watched_redis() -> Iterator[WatchedRedis]:
    with tempfile.TemporaryDirectory(prefix="payment-sentinel-") as directory:
        Path(directory).chmod(0o755)  # the servers' account passes through
        servers = WatchedRedis(Path(directory))
        try:
            servers.start()
            yield servers
        finally:
            servers.end()
