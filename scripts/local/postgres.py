"""A PostgreSQL cluster from the wheel: created once, run in the foreground by a supervisor."""

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from scripts.local import errors
from scripts.local.account import Account, prepare_home
from scripts.local.config import Database, Stack, require_space
from scripts.local.errors import StackError
from scripts.local.wheels import postgres_binary

LOCAL_SETTINGS = {"max_connections": "200"}
# Tests throw their cluster away, so nothing in it needs to survive a power cut.
TEST_SETTINGS = {
    "max_connections": "400",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(frozen=True)
class Cluster:
    home: Path
    port: int
    settings: dict[str, str] = field(default_factory=lambda: LOCAL_SETTINGS)

    @classmethod
    def of(cls, stack: Stack) -> "Cluster":
        return cls(stack.local / "postgres", stack.database.port)

    @property
    def data(self) -> Path:
        return self.home.resolve() / "data"  # the account cannot follow a link in a directory of root

    def create(self) -> Account:
        """Makes the cluster if there is none. An interrupted creation starts again."""
        account = prepare_home(self.home)
        if not self.data.exists():
            require_space(self.home)
            unfinished = self.data.with_name("data.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            _initdb(unfinished, account)
            unfinished.rename(self.data)
        return account

    def is_ready(self) -> bool:
        """Whether this cluster takes connections, and not another one on its port."""
        try:
            return (self.data / "postmaster.pid").read_text().rstrip().endswith("\nready")
        except FileNotFoundError:
            return False

    def command(self, account: Account) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1,::1",  # without IPv6 it logs that and continues
            "port": str(self.port),
            "unix_socket_directories": "",  # TCP only: a socket's path is limited to some hundred characters
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.settings,
        }
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return [str(postgres_binary("postgres", account)), "-D", str(self.data), *options]


def _initdb(data: Path, account: Account) -> None:
    with tempfile.NamedTemporaryFile("w", dir=data.parent, prefix="password-") as password:
        password.write(Database.password)
        password.flush()
        os.chown(password.name, account.uid, account.gid)
        command = [
            str(postgres_binary("initdb", account)),
            f"--pgdata={data}",
            f"--username={Database.user}",
            f"--pwfile={password.name}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            # PostgreSQL's own locale: the same order of texts on every machine.
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        result = subprocess.run(
            command, cwd="/", capture_output=True, text=True, check=False, **account.as_popen_arguments()
        )
    if result.returncode != 0:
        reason = " ".join((result.stderr or result.stdout).split())
        raise StackError(f"PostgreSQL could not create its data in {data}: {reason}")


def why_unreachable(database: Database, name: str | None = None) -> str | None:
    """None when a login works, else the server's reason in one line."""
    try:
        with connect(database, name):
            return None
    except psycopg.OperationalError as error:
        # "connection to server at …, port … failed: <reason>", and then questions to the reader
        return str(error).rpartition(" failed: ")[2].splitlines()[0]


def connect(database: Database, name: str | None = None) -> psycopg.Connection:
    return psycopg.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        dbname=name or database.name,
        connect_timeout=5,
        autocommit=True,
    )


def ensure_database(database: Database) -> None:
    with connect(database, "postgres") as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database.name]).fetchone()
        if not found:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database.name)))


def main() -> int:
    """Executes the local stack's PostgreSQL. supervisord runs this."""
    cluster = Cluster.of(Stack.from_environment())
    account = cluster.create()
    command = cluster.command(account)
    os.chdir("/")
    account.drop_privileges()
    os.execv(command[0], command)


if __name__ == "__main__":
    errors.run(main)
