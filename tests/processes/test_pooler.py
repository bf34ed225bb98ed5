"""The platform behind PgBouncer in transaction mode: each transaction may run in another session of PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from scripts.local.account import server_account
from scripts.local.config import ROOT
from scripts.local.postgres import Cluster, connect
from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.processes import POSTGRES_SETTINGS, RECOVERY_SECONDS, Platform, Process, free_port
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.processes

# Fewer than the processes ask for, so that they take turns.
SESSIONS = 3
TIMEOUTS = {
    "statement_timeout": "15s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
}
PAYMENTS = 24


class PooledPlatform(Platform):
    """Beside web, worker and beat also the relay and the saga workers. Its `database` is PostgreSQL itself."""

    def __init__(self) -> None:
        super().__init__()
        self._cluster = Cluster(
            self.directory / "postgres", self.database.port, {**POSTGRES_SETTINGS, **TIMEOUTS}
        )
        self.pooler_port = free_port()
        self.settings = {
            "DB_PORT": str(self.pooler_port),
            "DB_TRANSACTION_POOLING": "1",
            "DB_DIRECT_PORT": str(self.database.port),
        }
        self.pooler = Process("pgbouncer", self._write_configuration(), self.directory / "pgbouncer.log", {})
        self.pooler.account = server_account()
        self.environment.update(self.settings)
        for process in (self.web, self.worker, self.beat, self.spare_worker):
            process.environment.update(self.settings)
        command = [sys.executable, str(ROOT / "manage.py")]
        self.relay = self._ours("relay", [*command, "relay"])
        self.sagas = self._ours("sagas", [*command, "run_sagas", "test"])

    def _write_configuration(self) -> list[str]:
        """Writes a configuration without accounts: every user of this machine may connect."""
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text(
            f"[databases]\n* = host={self.database.host} port={self.database.port} user={self.database.user}"
            f" password={self.database.password}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.pooler_port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = transaction\ndefault_pool_size = {SESSIONS}\nmax_client_conn = 500\n"
        )
        configuration.chmod(0o644)
        return ["/usr/sbin/pgbouncer", str(configuration)]

    def _start(self) -> None:
        self.pooler.start()
        super()._start()
        for process in (self.relay, self.sagas):
            process.start()

    def _end(self) -> None:
        for process in (self.relay, self.sagas, self.pooler):
            process.kill()
        super()._end()


@pytest.fixture(scope="module")
def platform() -> Iterator[PooledPlatform]:
    with PooledPlatform() as platform:
        yield platform


def test_payments_refunds_events_and_a_restart(platform: PooledPlatform) -> None:
    shop = HttpShop(platform.url, **platform.merchant)
    books = Books(platform.database)
    writes = [payment("auto_pay,no_webhook") for _ in range(PAYMENTS)]
    with ThreadPoolExecutor(PAYMENTS) as threads:
        paid = list(threads.map(lambda write: shop.repeat_until_final(write, RECOVERY_SECONDS), writes))
    for write, reply in zip(writes, paid, strict=True):
        assert reply.status == 200, str(reply)
        books.require_paid_once(write.body["order_no"])

    background = payment("auto_pay,no_webhook,timeout_after")
    assert shop.repeat_until_final(background, RECOVERY_SECONDS).status == 200
    refund = Write("/api/v1/refunds", {"payment_no": paid[0].data["payment_no"], "amount": 1})
    assert shop.repeat_until_final(refund, RECOVERY_SECONDS).status == 200

    waiting = "SELECT count(*) AS n FROM outbox_events WHERE published_at IS NULL OR fanned_out_at IS NULL"
    wait_until(lambda: books.rows(waiting)[0]["n"] == 0, LOADED_SECONDS, "the relay to catch up")
    # The relay has a session of its own, the simulator a pool, and a periodic task a session for a moment.
    idle = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name LIKE 'payment%%' AND state = 'idle'"
    wait_until(lambda: books.rows(idle)[0]["n"] <= 2 * SESSIONS + 1, LOADED_SECONDS, "few sessions")
    platform.pooler.kill()
    platform.pooler.start()
    again = payment("auto_pay,no_webhook")
    assert shop.repeat_until_final(again, LOADED_SECONDS).status == 200
    books.require_paid_once(again.body["order_no"])
    books.close()
    for process in (platform.web, platform.worker, platform.relay, platform.sagas):
        process.require_running()
        assert "prepared statement" not in process.log.read_text()
    checked = _manage(platform, "check_consistency")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    pruned = _manage(platform, "shell", "-c", "from monitoring.tasks import prune; prune()")
    assert pruned.returncode == 0, pruned.stderr


def test_the_gateway_starts_only_with_timeouts(platform: PooledPlatform) -> None:
    with connect(platform.database) as operator:
        operator.execute(f"ALTER ROLE {platform.database.user} SET lock_timeout = 0")
        operator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
        )
    try:
        refused = _manage(platform, "serve", "--prepare-only")
    finally:
        with connect(platform.database) as operator:
            operator.execute(f"ALTER ROLE {platform.database.user} RESET lock_timeout")
    assert refused.returncode == 1
    assert "ALTER ROLE" in refused.stderr
    assert "lock_timeout" in refused.stderr


def test_a_pooler_needs_the_address_of_postgresql(platform: PooledPlatform) -> None:
    refused = _manage(platform, "check", DB_DIRECT_PORT=platform.settings["DB_PORT"])
    assert refused.returncode != 0
    assert (
        "DB_TRANSACTION_POOLING: name PostgreSQL itself with DB_DIRECT_HOST or DB_DIRECT_PORT"
        in refused.stderr
    )


def _manage(
    platform: PooledPlatform, *command: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *command],
        cwd=ROOT,
        env={**platform.environment, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
