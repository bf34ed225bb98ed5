"""Two PostgreSQL servers, one the streaming standby of the other, and an address that leads to one of them."""

import contextlib
import copy
import select
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

import pytest
from django.db import connections
from django.db.utils import ConnectionHandler

from common.postgresql import replica
from scripts.local.account import server_account
from scripts.local.config import Database
from scripts.local.postgres import Cluster, connect
from scripts.local.wheels import postgres_binary
from tests.support.processes import START_SECONDS, Process, free_port
from tests.support.waiting import wait_until

SETTINGS = {
    "max_connections": "100",
    "fsync": "off",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    "wal_keep_size": "256MB",
}


class Node:
    """One server, which can be started, stopped, promoted, and started again as the standby of another."""

    def __init__(self, name: str, directory: Path) -> None:
        self.database = Database("127.0.0.1", free_port(), embedded=True)
        self.cluster = Cluster(directory / name, self.database.port, SETTINGS)
        self.process = Process(name, [], directory / f"{name}.log", {}, server_account())

    def create(self) -> None:
        account = self.cluster.create()
        self.process.command = self.cluster.command(account)

    def copy(self, primary: "Node") -> None:
        """`pg_basebackup`, as a standby of `primary`."""
        account = server_account()
        shutil.copytree(primary.cluster.home.resolve(), self.cluster.home, ignore=lambda *_: ["data"])
        shutil.chown(self.cluster.home, account.uid, account.gid)
        self.cluster.home.chmod(0o700)
        copied = subprocess.run(
            [
                *(str(postgres_binary("pg_basebackup", account)), "-D", str(self.cluster.data)),
                *("-d", _conninfo(primary.database), "--checkpoint=fast", "--write-recovery-conf"),
            ],
            cwd="/",
            capture_output=True,
            text=True,
            **account.as_popen_arguments(),
        )
        assert copied.returncode == 0, copied.stderr
        self.process.command = self.cluster.command(account)

    def start(self) -> None:
        self.process.start()
        wait_until(self._is_up, START_SECONDS, self.process.name)

    def start_as_standby_of(self, primary: "Node") -> None:
        account = server_account()
        sign = self.cluster.data / "standby.signal"
        sign.touch()
        shutil.chown(sign, account.uid, account.gid)
        self.process.command = [
            *self.cluster.command(account),
            *("-c", f"primary_conninfo={_conninfo(primary.database)}"),
        ]
        self.start()

    def stop(self) -> None:
        """Stops cleanly: all commits have reached the standby."""
        self.process.end(signal.SIGINT)

    def promote(self) -> None:
        with connect(self.database, "postgres") as session:
            session.execute("SELECT pg_promote()")

    def end(self) -> None:
        """Kills the server and deletes its data."""
        self.process.kill()
        shutil.rmtree(self.cluster.home.resolve(), ignore_errors=True)

    def _is_up(self) -> bool:
        self.process.require_running()
        try:
            connect(self.database, "postgres").close()
        except OSError:
            return False
        except Exception as error:  # noqa: BLE001 - psycopg's, while the server starts
            return "starting up" in str(error) and False
        return True


def _conninfo(database: Database) -> str:
    return (
        f"host={database.host} port={database.port} user={database.user} password={database.password}"
        " application_name=standby"
    )


def read_from(monkeypatch: pytest.MonkeyPatch, *, primary: Database, standby: Database, **login: str) -> None:
    """Lets `common.postgresql.replica` choose between these two servers. `login`: other settings of the sessions."""
    databases = {
        replica.PRIMARY: _build_settings(primary),
        replica.REPLICA: {**_build_settings(standby), **login},
    }
    handler = ConnectionHandler(databases)
    monkeypatch.setattr(replica, "connections", handler)
    # Django reads it in each new session.
    monkeypatch.setattr("django.contrib.postgres.signals.connections", handler)


def _build_settings(database: Database) -> dict[str, Any]:
    ours = copy.deepcopy(connections["default"].settings_dict)
    del ours["OPTIONS"]["pool"], ours["OPTIONS"]["target_session_attrs"]
    return {**ours, "HOST": database.host, "PORT": database.port, "NAME": database.name}


class Forwarder:
    """A TCP address that leads to another server after `switch`. Open connections stay, as behind a virtual IP."""

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", self.port))

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def switch(self, port: int) -> None:
        self._to = port

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(("127.0.0.1", self._to)) as server,
        ):
            other = {client: server, server: client}
            while True:
                for sender in select.select([client, server], [], [])[0]:
                    received = sender.recv(65536)
                    if not received:
                        return
                    other[sender].sendall(received)
