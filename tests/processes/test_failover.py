"""The primary changes under load: payments wait for seconds, no process is restarted, nothing happens twice."""

import datetime as dt
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from common.postgresql import replica
from scripts.local.config import ROOT, Database
from scripts.local.postgres import connect
from tests.support.books import Books
from tests.support.http_shop import HttpShop, payment
from tests.support.processes import RECOVERY_SECONDS, Platform, free_port
from tests.support.replicas import Forwarder, Node, read_from
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.processes

# The pool waits between attempts to reconnect, longer each time, as long as no server takes writes.
RECONNECT_SECONDS = 15.0


class ReplicatedPlatform(Platform):
    """Beside web, worker and beat also the relay and the webhook worker, all behind one address of PostgreSQL."""

    def __init__(self) -> None:
        super().__init__()
        self.old = Node("old", self.directory)
        self.new = Node("new", self.directory)
        self.address = Forwarder(self.old.database.port)
        self.database = Database("127.0.0.1", self.address.port, embedded=True)
        self.postgres, self._cluster = self.old.process, self.old.cluster
        self.environment["DB_PORT"] = str(self.address.port)
        for process in (self.web, self.worker, self.beat, self.spare_worker):
            process.environment["DB_PORT"] = str(self.address.port)
        command = [sys.executable, str(ROOT / "manage.py")]
        self.relay = self._ours("relay", [*command, "relay"])
        self.webhooks = self._ours("webhooks", [*command, "deliver_webhooks"])

    def use_new_primary(self) -> None:
        """Makes the address lead to the new primary. Tests of this file may run in different processes, so each must
        find what it needs without the others."""
        if not self.is_switched:
            self.switch_over()
        self.address.switch(self.new.database.port)

    def _start(self) -> None:
        self.is_switched = False
        self.address.__enter__()
        super()._start()
        self.new.copy(self.old)
        self.new.start()
        for process in (self.relay, self.webhooks):
            process.start()

    def _end(self) -> None:
        for process in (self.relay, self.webhooks, self.new.process):
            process.kill()
        self.address.__exit__()
        shutil.rmtree(self.new.cluster.home.resolve(), ignore_errors=True)
        super()._end()

    def switch_over(self) -> None:
        """Switches over as operators do: the old primary comes back as a standby, on the same address."""
        self.is_switched = True
        self.old.stop()
        self.new.promote()
        self.old.start_as_standby_of(self.new)


@pytest.fixture(scope="module")
def platform() -> Iterator[ReplicatedPlatform]:
    with ReplicatedPlatform() as platform:
        yield platform


def test_reads_of_a_replica_that_lags(
    platform: ReplicatedPlatform, settings: Any, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> None:
    """The replica is read while its lag is small and it has what the reader has seen. A lost or promoted one is not."""
    primary, standby = (platform.new, platform.old) if platform.is_switched else (platform.old, platform.new)
    settings.DB_REPLICA_HOST, settings.DB_REPLICA_MAX_LAG_SECONDS = "127.0.0.1", 3600.0
    monkeypatch.setattr(replica, "_paused_until", 0.0)
    monkeypatch.setattr(replica, "PAUSE_SECONDS", 3600.0)

    def use(of_replica: int) -> None:
        given = Database("127.0.0.1", of_replica, embedded=True)
        read_from(monkeypatch, primary=primary.database, standby=given)

    with (
        django_db_blocker.unblock(),
        connect(primary.database) as writer,
        connect(standby.database) as on_standby,
    ):
        use(standby.database.port)

        def has_come(written_at: dt.datetime) -> bool:
            return replica.choose_database(not_before=written_at) == replica.REPLICA

        wait_until(lambda: has_come(_write(writer)), LOADED_SECONDS, "the replica")
        on_standby.execute("SELECT pg_wal_replay_pause()")
        paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        wait_until(lambda: on_standby.execute(paused).fetchone() == (True,), LOADED_SECONDS, "the pause")
        written_at = _write(writer)
        assert replica.choose_database() == replica.REPLICA, "it is behind, and near enough"
        assert replica.choose_database(not_before=written_at) == replica.PRIMARY
        settings.DB_REPLICA_MAX_LAG_SECONDS = 0.0
        assert replica.choose_database() == replica.PRIMARY
        settings.DB_REPLICA_MAX_LAG_SECONDS = 3600.0
        on_standby.execute("SELECT pg_wal_replay_resume()")
        wait_until(lambda: has_come(written_at), LOADED_SECONDS, "the replica to catch up")

        use(primary.database.port)
        assert replica.choose_database() == replica.PRIMARY, "it is no standby"
        use(free_port())
        assert replica.choose_database() == replica.PRIMARY
        use(standby.database.port)
        assert replica.choose_database() == replica.PRIMARY, (
            "after a failure the replica is not tried for a while"
        )


def _write(session: "psycopg.Connection[Any]") -> dt.datetime:
    """Commits without changing a table. Returns a time before the commit."""
    row = session.execute("SELECT clock_timestamp(), pg_logical_emit_message(true, 'test', '')").fetchone()
    assert row is not None
    written_at: dt.datetime = row[0]
    return written_at


def test_address_leads_to_a_standby_and_then_to_the_new_primary(platform: ReplicatedPlatform) -> None:
    shop = HttpShop(platform.url, platform.merchant["key"], platform.merchant["secret"])
    before = shop.succeeded_payment()
    platform.switch_over()

    writes = [payment("auto_pay,no_webhook") for _ in range(4)]
    refused = [answer.result() for answer in [shop.send_later(write) for write in writes] * 2]
    for reply in refused:
        assert (reply.status, reply.json["error_code"]) == (503, "service_unavailable"), reply
        assert int(reply.headers["Retry-After"]) >= 1
    assert shop.get(f"/api/v1/payments/{before['payment_no']}").status == 503
    ready = shop.get("/readyz")
    assert (ready.status, ready.json["checks"]["database"]) == (503, False)
    assert shop.get("/healthz").status == 200

    platform.address.switch(platform.new.database.port)
    books = Books(platform.new.database)
    for write in writes:
        assert shop.repeat_until_final(write, RECONNECT_SECONDS).data["status"] == "succeeded"
        books.require_paid_once(write.body["order_no"])
    assert shop.get("/readyz").status == 200

    for process in (platform.web, platform.worker, platform.beat, platform.relay, platform.webhooks):
        process.require_running()
    background = payment("auto_pay,no_webhook,timeout_after")
    shop.send(background)
    books.wait_for_saga(background.key, RECONNECT_SECONDS + RECOVERY_SECONDS, "completed")
    waiting = "SELECT count(*) AS n FROM outbox_events WHERE published_at IS NULL OR fanned_out_at IS NULL"
    wait_until(
        lambda: books.rows(waiting)[0]["n"] == 0, RECONNECT_SECONDS + LOADED_SECONDS, "the relay to catch up"
    )
    books.close()


def test_sessions_turn_read_only(platform: ReplicatedPlatform) -> None:
    """A fenced server, or a cloud's writer that becomes a reader, keeps its sessions open."""
    shop = HttpShop(platform.url, platform.merchant["key"], platform.merchant["secret"])
    platform.use_new_primary()
    wait_until(lambda: shop.get("/readyz").status == 200, RECONNECT_SECONDS + LOADED_SECONDS, "the platform")
    write = payment("auto_pay,no_webhook")
    with connect(platform.new.database) as operator:
        operator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        operator.execute("SELECT pg_reload_conf()")
        wait_until(lambda: shop.get("/readyz").status == 503, LOADED_SECONDS, "/readyz to notice")
        reply = shop.send(write)
        assert (reply.status, reply.json["error_code"]) == (503, "service_unavailable"), reply
        operator.execute("SET default_transaction_read_only = off")
        operator.execute("ALTER SYSTEM RESET default_transaction_read_only")
        operator.execute("SELECT pg_reload_conf()")
    assert shop.repeat_until_final(write, RECONNECT_SECONDS).data["status"] == "succeeded"


def test_several_hosts(platform: ReplicatedPlatform) -> None:
    """`DB_HOST` names the standby first. The pool and sessions outside of it skip it."""
    platform.use_new_primary()
    standby, primary = platform.old.database, platform.new.database
    hosts = {
        "DB_HOST": f"{standby.host},{primary.host}",
        "DB_PORT": f"{standby.port},{primary.port}",
    }
    for command in (
        ["create_merchant", "--name", "Two hosts", "--email", "hosts@example.com"],
        ["relay", "--once"],
    ):
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env={**platform.environment, **hosts},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
    books = Books(primary)
    assert books.row("SELECT 1 FROM merchants WHERE email = 'hosts@example.com'")
    books.close()
