"""A standby that has not followed a failover is not read, even if its position is ahead. One that has is read."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.postgresql import replica
from scripts.local.postgres import connect, ensure_database
from tests.support.replicas import Node, read_from
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

LOST_BYTES = 2_000_000
# A role that does not see what a standby receives.
READER = {"USER": "reader", "PASSWORD": "reader"}


class Failover:
    """`new` is promoted without what `left_behind` has received from `old`. `follower` is a standby of `new`."""

    def __init__(self, directory: Path) -> None:
        self.old, self.new, self.left_behind, self.follower = self.nodes = tuple(
            Node(name, directory) for name in ("old", "new", "left-behind", "follower")
        )

    def start(self) -> None:
        self.old.create()
        self.old.start()
        ensure_database(self.old.database)
        with connect(self.old.database) as session:
            session.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
        for standby, source in (
            (self.new, self.old),
            (self.left_behind, self.old),
            (self.follower, self.new),
        ):
            standby.copy(source)
            standby.start()

    def fail_over(self) -> None:
        with connect(self.new.database) as session:
            session.execute("ALTER SYSTEM SET primary_conninfo = ''")
            session.execute("SELECT pg_reload_conf()")
            receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
            wait_until(lambda: session.execute(receivers).fetchone() == (0,), LOADED_SECONDS, "the cut")
        with connect(self.old.database) as session:
            session.execute("SELECT pg_logical_emit_message(true, 'lost', repeat('x', %s))", [LOST_BYTES])
            written = session.execute("SELECT pg_current_wal_lsn()").fetchone()
        with connect(self.left_behind.database) as session:
            has_it = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
            wait_until(
                lambda: session.execute(has_it, written).fetchone() == (True,), LOADED_SECONDS, "what is lost"
            )
        self.old.process.kill()
        self.new.promote()

    def is_left_behind_ahead(self) -> bool:
        """Whether its position, of the old timeline, is greater than that of the new primary."""
        with connect(self.new.database) as session:
            position = session.execute("SELECT pg_current_wal_lsn()").fetchone()
        with connect(self.left_behind.database) as session:
            row = session.execute("SELECT pg_last_wal_replay_lsn() > %s::pg_lsn", position).fetchone()
        return row == (True,)


@pytest.fixture
def failover() -> Iterator[Failover]:
    directory = Path(tempfile.mkdtemp(prefix="payment-failover-"))
    directory.chmod(0o755)  # the servers' account passes through
    failover = Failover(directory)
    try:
        failover.start()
        yield failover
    finally:
        for node in failover.nodes:
            node.end()
        shutil.rmtree(directory, ignore_errors=True)


def test_a_standby_of_the_old_timeline_counts_as_lagging(
    failover: Failover, settings: Any, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> None:
    settings.DB_REPLICA_HOST, settings.DB_REPLICA_MAX_LAG_SECONDS = "127.0.0.1", 3600.0
    monkeypatch.setattr(replica, "_paused_until", 0.0)

    def reads(standby: Node, primary: Node, **login: str) -> str:
        read_from(monkeypatch, primary=primary.database, standby=standby.database, **login)
        return replica.choose_database()

    with django_db_blocker.unblock():
        assert reads(failover.left_behind, failover.old) == replica.REPLICA
        failover.fail_over()
        assert failover.is_left_behind_ahead()
        assert reads(failover.left_behind, failover.new) == replica.PRIMARY
        assert reads(failover.left_behind, failover.new, **READER) == replica.PRIMARY

        wait_until(
            lambda: reads(failover.follower, failover.new) == replica.REPLICA, LOADED_SECONDS, "the follower"
        )
        for node in (failover.new, failover.follower):
            with connect(node.database) as session:
                session.execute("CHECKPOINT")
        assert reads(failover.follower, failover.new, **READER) == replica.REPLICA
