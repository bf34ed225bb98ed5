"""A PostgreSQL that is backed up to a second place, and restored from there to an earlier moment.

`pg_receivewal` streams the WAL, so that the second place is behind by the commits in flight, and not by an unfinished
segment as with `archive_command`.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.local.account import Account
from scripts.local.config import Database
from scripts.local.errors import StackError, tail
from scripts.local.postgres import Cluster, connect
from scripts.local.waiting import wait_until
from scripts.local.wheels import postgres_binary

SLOT = "second_place"
SETTINGS = {"max_connections": "200", "wal_level": "replica", "max_wal_senders": "5"}
START_SECONDS = 600.0
# Tables of the simulated bank. A real bank has its own database, and forgets nothing when ours is restored.
BANK_TABLES = "public.simulator_*"


@dataclass
class PostgresServer:
    """One cluster under `home`, run as a child process."""

    database: Database
    home: Path
    log: Path
    settings: Mapping[str, str] = field(default_factory=lambda: SETTINGS)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.home, self.database.port, dict(self.settings))

    def start(self) -> Account:
        account = self.cluster.create()
        self._process = _launch(self.cluster.command(account), self.log, account)
        if not wait_until(self._has_started, START_SECONDS):
            raise StackError(f"PostgreSQL did not start:\n{tail(self.log)}")
        return account

    def _has_started(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StackError(f"PostgreSQL ended:\n{tail(self.log)}")
        return self.cluster.is_ready()

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        if self._process is None:
            return
        end(self._process, number)
        self._process = None

    def destroy(self) -> None:
        """As when the machine and its disk are gone."""
        self.stop(signal.SIGQUIT)  # immediate: no checkpoint, nothing more is sent
        shutil.rmtree(self.cluster.data)


class SecondPlace:
    """The base backup and the WAL, on another disk in earnest."""

    def __init__(self, folder: Path, server: PostgresServer, account: Account) -> None:
        self.folder, self._server, self._account = folder, server, account
        self.wal = folder / "wal"
        for each in (folder, self.wal):
            each.mkdir(mode=0o700)
            os.chown(each, account.uid, account.gid)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Streams the WAL. The slot keeps what was not received."""
        self._run("pg_receivewal", "--create-slot", f"--slot={SLOT}", "--if-not-exists")
        receiver = _launch(
            self._command("pg_receivewal", f"--slot={SLOT}", f"--directory={self.wal}", "--synchronous"),
            self.folder.parent / "receiver.log",
            self._account,
            self._environment(),
        )
        try:
            yield
        finally:
            end(receiver, signal.SIGINT)

    def back_up(self) -> None:
        """Copies the running cluster, and verifies the copy by its manifest."""
        base = self.folder / "base"
        self._run(
            "pg_basebackup",
            f"--pgdata={base}",
            "--wal-method=none",
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
        )
        _verify(base)

    def read_lag_bytes(self) -> int:
        """How much WAL is written and not yet in the second place."""
        with connect(self._server.database) as connection:
            row = connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn)::bigint FROM pg_stat_replication"
            ).fetchone()
        if row is None:
            raise StackError("no process receives the WAL")
        return max(0, int(row[0]))

    def restore(self, target: PostgresServer, moment: str) -> None:
        """Makes a fresh cluster of everything that was committed until `moment`."""
        data = target.cluster.data
        shutil.copytree(self.folder / "base", data)
        wal = self.wal
        for unfinished in wal.glob("*.partial"):  # the segment that was being received
            unfinished.rename(unfinished.with_suffix(""))
        settings = (
            f"restore_command = 'cp {wal}/%f %p'\n"
            f"recovery_target_time = '{moment}'\n"
            "recovery_target_action = 'promote'\n"
        )
        with (data / "postgresql.auto.conf").open("a") as file:
            file.write(settings)
        (data / "recovery.signal").touch()
        _give(data.parent, self._account)
        target.start()
        if not wait_until(lambda: _is_primary(target.database), START_SECONDS):
            raise StackError(f"the recovery did not end:\n{tail(target.log)}")

    def save_bank(self, file: Path) -> None:
        """The simulated bank's books, which the restore must not touch."""
        tables = ("--clean", "--if-exists", f"--table={BANK_TABLES}", f"--file={file}")
        self._run_on(self._server.database, "pg_dump", *tables)

    def return_bank(self, file: Path, database: Database) -> None:
        self._run_on(
            database, "psql", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction", f"--file={file}"
        )

    def _run_on(self, database: Database, program: str, *arguments: str) -> None:
        us = Account(os.getuid(), os.getgid())
        command = [str(postgres_binary(program, us)), *arguments]
        environment = {**os.environ, **_login(database), "PGDATABASE": database.name}
        _check(subprocess.run(command, env=environment, capture_output=True, check=False))

    def _run(self, program: str, *arguments: str) -> None:
        command = self._command(program, *arguments)
        _check(
            subprocess.run(
                command,
                cwd="/",
                env=self._environment(),
                capture_output=True,
                check=False,
                **self._as_account(),
            )
        )

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [str(postgres_binary(program, self._account)), *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **_login(self._server.database)}

    def _as_account(self) -> dict[str, Any]:
        return self._account.as_popen_arguments()


def _verify(base: Path) -> None:
    """As pg_verifybackup does, which the wheel's build cannot: it ends with a segmentation fault."""
    manifest = json.loads((base / "backup_manifest").read_text())
    for entry in manifest["Files"]:
        content = (base / entry["Path"]).read_bytes()
        if len(content) != entry["Size"] or hashlib.sha256(content).hexdigest() != entry["Checksum"]:
            raise StackError(f"{entry['Path']} of the base backup differs from its manifest")


def _login(database: Database) -> dict[str, str]:
    return {
        "PGHOST": database.host,
        "PGPORT": str(database.port),
        "PGUSER": database.user,
        "PGPASSWORD": database.password,
    }


def _is_primary(database: Database) -> bool:
    with connect(database) as connection:
        row = connection.execute("SELECT NOT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def _give(folder: Path, account: Account) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid)


def _launch(
    command: list[str], log: Path, account: Account, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **account.as_popen_arguments(),
        )


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    try:
        process.wait(START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _check(result: "subprocess.CompletedProcess[bytes]") -> None:
    if result.returncode:
        raise StackError(f"{result.args[0]} failed: {result.stderr.decode(errors='replace').strip()}")
