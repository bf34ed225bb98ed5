"""Become the wheel's psql or redis-cli, connected to the local stack."""

import os
import sys

from scripts.local import errors
from scripts.local.account import Account
from scripts.local.config import Stack
from scripts.local.wheels import postgres_binary, redis_binary


def main() -> int:
    stack = Stack.saved(Stack.from_environment())
    client, arguments = sys.argv[1], sys.argv[2:]
    us = Account(os.getuid(), os.getgid())
    if client == "psql":
        server = stack.database
        # Defaults that any option of the caller overrides.
        os.environ |= {
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": server.user,
            "PGPASSWORD": server.password,
            "PGDATABASE": server.name,
        }
        command = [str(postgres_binary("psql", us)), *arguments]
    else:
        address = ["-h", stack.redis.host, "-p", str(stack.redis.port)]
        command = [str(redis_binary("redis-cli", us)), *address, *arguments]
    os.execv(command[0], command)


if __name__ == "__main__":
    errors.run(main)
