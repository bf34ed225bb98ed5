"""A Redis server from the wheel, without persistence: PostgreSQL holds all data."""

import os
from dataclasses import dataclass
from pathlib import Path

import redis

from scripts.local import errors
from scripts.local.account import Account, prepare_home
from scripts.local.config import Address, Stack
from scripts.local.wheels import redis_binary


@dataclass(frozen=True)
class RedisServer:
    home: Path
    port: int

    @classmethod
    def of(cls, stack: Stack) -> "RedisServer":
        return cls(stack.local / "redis", stack.redis.port)

    def create(self) -> Account:
        return prepare_home(self.home)

    def command(self, account: Account) -> list[str]:
        return [
            str(redis_binary("redis-server", account)),
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1", "-::1"),  # the dash allows a missing IPv6
            *("--save", ""),
            *("--appendonly", "no"),
            *("--databases", "64"),  # one for each test worker
            *("--set-proc-title", "no"),  # it would overwrite the environment that `leftovers` looks for
            *("--dir", str(self.home.resolve())),
        ]


def why_unreachable(address: Address) -> str | None:
    """None when it answers, else the reason in one line."""
    try:
        process_id(address)
    except redis.RedisError as error:
        return " ".join(str(error).split())
    return None


def process_id(address: Address) -> int:
    with redis.Redis(address.host, address.port, socket_connect_timeout=5, socket_timeout=5) as client:
        return int(client.info("server")["process_id"])


def main() -> int:
    """Executes the local stack's Redis. supervisord runs this."""
    server = RedisServer.of(Stack.from_environment())
    account = server.create()
    command = server.command(account)
    os.chdir("/")
    account.drop_privileges()
    os.execv(command[0], command)


if __name__ == "__main__":
    errors.run(main)
