"""Asks Patroni for the state of the cluster, and prepares the platform's role and database."""

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from scripts.lab.engines import DATABASE, PATRONI_PORT, POSTGRESQL_PORT, ROLE, ROLE_TIMEOUTS, Passwords
from scripts.lab.plan import DATABASES, Host
from scripts.local.errors import StackError
from scripts.local.waiting import wait_until

PROBE_SECONDS = 2.0
LOG_FILES = 50  # of 16 MB: more than it keeps in reserve, and than the disk has
_USE_UP_LOG = f"""
DO $$ BEGIN
    FOR number IN 1..{LOG_FILES} LOOP
        PERFORM pg_logical_emit_message(false, 'lab', 'a new file');
        PERFORM pg_switch_wal();
    END LOOP;
END $$
"""
WITNESS = "lab_witness"  # a database of its own, so that the platform's has only what the platform wrote
START_SECONDS = 900.0  # a machine that does other things too
SWITCHOVER_SECONDS = 60.0  # Patroni answers after 20 s at the latest
LOOP_SECONDS = 2.0  # so often Patroni looks at the cluster


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    role: str  # leader, replica, sync_standby
    state: str  # running, streaming, stopped, …


def find_primary(hosts: Sequence[Host] = DATABASES) -> Host | None:
    """That of these hosts whose Patroni holds the leader's lease and whose PostgreSQL takes writes."""
    for host in hosts:
        try:
            address = f"http://{host.address}:{PATRONI_PORT}/primary"
            with urllib.request.urlopen(address, timeout=PROBE_SECONDS) as answer:
                if answer.status == 200:
                    return host
        except (urllib.error.URLError, OSError):
            continue
    return None


def list_members() -> list[Member]:
    """As the first Patroni that answers sees them."""
    for host in DATABASES:
        try:
            address = f"http://{host.address}:{PATRONI_PORT}/cluster"
            with urllib.request.urlopen(address, timeout=PROBE_SECONDS) as answer:
                members = json.load(answer)["members"]
        except (urllib.error.URLError, OSError):
            continue
        return [Member(each["name"], each["role"], each["state"]) for each in members]
    return []


def is_whole(members: list[Member]) -> bool:
    """One primary, and two standbys that follow it, one of them synchronous."""
    leaders = [each for each in members if each.role == "leader" and each.state == "running"]
    following = [each for each in members if each.role != "leader" and each.state == "streaming"]
    return (
        len(leaders) == 1 and len(following) == 2 and any(each.role == "sync_standby" for each in following)
    )


def wait_until_whole(seconds: float = START_SECONDS) -> Host:
    """Returns the primary. Raises `StackError`."""
    if not wait_until(lambda: is_whole(list_members()), seconds, interval=0.5):
        raise StackError(f"the database cluster is not whole after {seconds:.0f} s: {list_members()}")
    return require_primary()


def require_primary() -> Host:
    """Raises `StackError`."""
    if (host := find_primary()) is None:
        raise StackError("no database takes writes")
    return host


def switch_over(leader: Host, seconds: float = START_SECONDS) -> list[str]:
    """A planned change of the primary, to the synchronous standby: Patroni accepts no other. Returns Patroni's refusals
    when another host is the primary of a whole cluster. Raises `StackError`.

    Patroni answers 412 when the candidate is not the synchronous standby at that moment, or does not answer Patroni
    itself within 2 s, and 503 when the change takes longer than some 20 s. All of these pass, so the request is
    repeated until there is another primary.
    """
    refusals: list[str] = []

    def has_switched() -> bool:
        members = list_members()
        if not is_whole(members):
            return False
        if any(each.role == "leader" and each.name != leader.name for each in members):
            return True
        if refusal := _request_switchover(leader, find_candidate(members)):
            refusals.append(refusal)
        return False

    if not wait_until(has_switched, seconds, interval=LOOP_SECONDS):
        raise StackError(
            f"no switchover from {leader.name} within {seconds:.0f} s: {refusals}, {list_members()}"
        )
    return refusals


def find_candidate(members: Sequence[Member]) -> str:
    """The name of the synchronous standby of a whole cluster."""
    return next(each.name for each in members if each.role == "sync_standby" and each.state == "streaming")


def _request_switchover(leader: Host, candidate: str) -> str | None:
    """Patroni's refusal, such as `412 candidate name does not match with sync_standby`. None: it is done."""
    body = json.dumps({"leader": leader.name, "candidate": candidate}).encode()
    address = f"http://{leader.address}:{PATRONI_PORT}/switchover"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=SWITCHOVER_SECONDS).close()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode(errors='replace').strip()}"
    except (urllib.error.URLError, OSError) as error:
        return f"no answer: {error}"
    return None


def connect(
    passwords: Passwords, *, superuser: bool = False, name: str | None = None
) -> "psycopg.Connection[Any]":
    """A session at the primary."""
    user, password = ("postgres", passwords.postgres) if superuser else (ROLE, passwords.payments)
    return psycopg.connect(
        host=",".join(each.address for each in DATABASES),
        port=POSTGRESQL_PORT,
        user=user,
        password=password,
        dbname=name or ("postgres" if superuser else DATABASE),
        target_session_attrs="read-write",
        connect_timeout=5,
        autocommit=True,
    )


def prepare(passwords: Passwords) -> None:
    """The platform's role, with the timeouts that a pooler does not pass on, and its database."""
    with connect(passwords, superuser=True) as session:
        session.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(ROLE), sql.Literal(passwords.payments)
            )
        )
        for name, value in ROLE_TIMEOUTS.items():
            session.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(
                    sql.Identifier(ROLE), sql.Identifier(name), sql.Literal(value)
                )
            )
        create_database(session, DATABASE)
        create_database(session, WITNESS)
    with connect(passwords, superuser=True, name=WITNESS) as session:
        session.execute("CREATE TABLE writes (name text PRIMARY KEY, at timestamptz NOT NULL)")


def use_up_log(passwords: Passwords) -> bool:
    """Begins new files of the write-ahead log until PostgreSQL cannot and crashes. Whether it has.

    A message in the log takes no room in a table: a row would fail first, because its table cannot grow. One statement
    does all of it without a commit, so that it waits for no standby and no checkpoint can reuse files meanwhile.
    """
    try:
        with connect(passwords, superuser=True, name=WITNESS) as session:
            session.execute(_USE_UP_LOG)
    except psycopg.Error:
        return True
    return False


def list_witnesses(passwords: Passwords) -> set[str]:
    """What the writers of `losing_side` wrote, as the surviving primary has it: rows, and payments."""
    with connect(passwords, superuser=True, name=WITNESS) as session:
        rows = session.execute("SELECT name FROM writes").fetchall()
    with connect(passwords) as session:
        rows += session.execute("SELECT payment_no FROM payments").fetchall()
    return {str(row[0]) for row in rows}


def create_database(session: "psycopg.Connection[Any]", name: str) -> None:
    session.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE)))
