"""Throw-away PostgreSQL and Redis around one command: `python -m scripts.local.testing COMMAND…`."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from redis import RedisError

from scripts.local import errors, postgres, redis
from scripts.local.account import Account
from scripts.local.config import Address, Database
from scripts.local.errors import StackError, tail
from scripts.local.waiting import wait_until

START_SECONDS = 240.0  # a busy machine's; a quiet one needs two
STOP_SECONDS = 30.0
PORT_ATTEMPTS = 5  # a free port can be taken between our looking and the server's listening


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The environment of one test run, its servers started; they and their data are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="payment-tests-"))
    directory.chmod(0o755)  # the servers' account passes through
    with ExitStack() as stack:
        stack.callback(_remove, directory)
        database = stack.enter_context(_postgres(directory))
        cache = stack.enter_context(_redis(directory))
        for name in ("prometheus", "static"):
            (directory / name).mkdir()
        yield _environment(directory, database, cache)


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run to the end. A request to stop reaches the command first, and then ends us too."""
    process = subprocess.Popen(command, env=environment)
    received: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGINT and sys.stdin.isatty():
            return  # the terminal has told the command itself
        process.send_signal(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, hand_on) for number in signals}
    try:
        exit_code = process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if received:
        sys.exit(128 + received[0])
    return exit_code


def _environment(directory: Path, database: Database, cache: Address) -> dict[str, str]:
    # Fixed, so that a failure can be repeated; a value from the environment comes first.
    defaults = {
        "LOCAL_STACK": "1",
        "PAYMENT_DEMO": "1",
        "SECRET_KEY": "only-for-tests",
        "PAYMENT_MASTER_KEYS": "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDA=",
        "STATIC_ROOT": str(directory / "static"),
    }
    ours = {
        "DB_HOST": database.host,
        "DB_PORT": str(database.port),
        "DB_USER": database.user,
        "DB_PASSWORD": database.password,
        "DB_NAME": database.name,
        "REDIS_HOST": cache.host,
        "REDIS_PORT": str(cache.port),
        "PROMETHEUS_MULTIPROC_DIR": str(directory / "prometheus"),
        # The local stack's secrets and sandboxes are no part of a test.
        "LOCAL_DIR": str(directory),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    # Without bytecode each pytest process compiles and rewrites every test anew: 12 s of CPU.
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**defaults, **given, **ours}


@contextmanager
def _postgres(directory: Path) -> Iterator[Database]:
    log = directory / "postgres.log"
    for _ in range(PORT_ATTEMPTS):
        database = Database("127.0.0.1", free_port(), embedded=True)
        cluster = postgres.Cluster(directory / "postgres", database.port, postgres.TEST_SETTINGS)
        account = cluster.create()
        # SIGINT: do not wait for clients that are still connected.
        with _process(cluster.command(account), account, log, stop=signal.SIGINT) as process:
            if _came_up(process, cluster.is_ready):
                postgres.ensure_database(database)
                yield database
                return
    raise StackError(f"the tests' PostgreSQL did not start:\n{tail(log)}")


@contextmanager
def _redis(directory: Path) -> Iterator[Address]:
    log = directory / "redis.log"
    for _ in range(PORT_ATTEMPTS):
        address = Address("127.0.0.1", free_port(), embedded=True)
        server = redis.RedisServer(directory / "redis", address.port)
        account = server.create()
        with _process(server.command(account), account, log, stop=signal.SIGTERM) as process:
            if _came_up(process, partial(_is, process, address)):
                yield address
                return
    raise StackError(f"the tests' Redis did not start:\n{tail(log)}")


@contextmanager
def _process(
    command: list[str], account: Account, log: Path, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the tests, which need their servers to end well
            **account.as_popen_arguments(),
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _came_up(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    wait_until(lambda: process.poll() is not None or ready(), START_SECONDS)
    return process.poll() is None


def _is(process: subprocess.Popen[bytes], address: Address) -> bool:
    """Whether the Redis there is this process: another run could have been faster to take the port."""
    try:
        return redis.process_id(address) == process.pid
    except RedisError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _remove(directory: Path) -> None:
    """Also what lies outside, where the servers' account could not reach the temporary directory."""
    for home in (directory / "postgres", directory / "redis"):
        if home.is_symlink():
            shutil.rmtree(home.resolve(), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    if len(sys.argv) < 2:
        raise StackError("give a command to run, for example: ./scripts/with-test-servers.sh pytest -k saga")
    with servers() as environment:
        return run(sys.argv[1:], environment)


if __name__ == "__main__":
    errors.run(main)
