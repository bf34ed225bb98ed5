"""Tables partitioned by week: partitions exist before their week, none is needed, and retention drops them."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest
from django.db import ProgrammingError, connection

from common.clock import database_now
from common.postgresql import partitions
from common.postgresql.partitions import (
    PERIOD,
    PERIODS_AHEAD,
    Partition,
    PartitionedTable,
    drop_partition,
    find_period,
    list_partitions,
    make_partitions,
)
from common.postgresql.sessions import open_session
from gateway.models import Payment
from monitoring.partitions import drop_expired_partitions, make_partitions_ahead
from monitoring.pruning import prune_history
from monitoring.services import run_checks
from monitoring.tasks import prune
from sagas import store
from sagas.models import SagaEvent, SagaInstance, SagaStep
from sagas.partitions import EVENTS, STEPS
from tests.ops.conftest import World
from tests.support import shop
from tests.support.signing import SignedClient
from tests.support.threads import in_background, waiting_for_locks
from tests.support.triggers import without_triggers
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from webhooks import claims, fanout
from webhooks.models import Lane, WebhookAttempt, WebhookDelivery
from webhooks.partitions import ATTEMPTS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

ALL = (STEPS, EVENTS, ATTEMPTS)
AGE = dt.timedelta(days=60)
# An id of `uuid7` with its time moved back.
_OLDER = f"""
(lpad(to_hex(('x' || substr(replace({{0}}::text, '-', ''), 1, 12))::bit(48)::bigint
      - {int(AGE.total_seconds() * 1000)}), 12, '0') || substr(replace({{0}}::text, '-', ''), 13))::uuid
"""


@pytest.fixture(autouse=True)
def patient_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An autovacuum holds a lock, and is cancelled only after `deadlock_timeout`, a second."""
    for limit in ("LOCK_TIMEOUT", "STATEMENT_TIMEOUT"):
        monkeypatch.setattr(partitions, limit, f"{PATIENCE_SECONDS:.0f}s")


@pytest.fixture
def old_weeks() -> Iterator[None]:
    """Partitions of the weeks in which the aged rows were made."""
    then = database_now() - AGE
    for table in ALL:
        assert make_partitions(table, first=then - PERIOD, last=then + PERIOD) == 3
    yield
    for table in ALL:
        for partition in list_partitions(table):
            if partition.end < then + 3 * PERIOD:
                assert drop_partition(table, partition, kept=[])


def _age(parent: str, key: str, *children: str) -> None:
    """Moves rows of `parent` and the rows that belong to them into the past, with their ids."""
    with without_triggers() as cursor:
        for table, column in [(parent, "id"), *((child, key) for child in children)]:
            cursor.execute(f"UPDATE {table} SET {column} = {_OLDER.format(column)}")
        cursor.execute(
            f"UPDATE {parent} SET created_at = created_at - %(age)s, updated_at = updated_at - %(age)s",
            {"age": AGE},
        )


def _age_sagas() -> None:
    _age("saga_instances", "saga_id", "saga_steps", "saga_events")


def _rows_by_partition(table: PartitionedTable) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text, count(*) FROM {table.name} GROUP BY 1")
        return dict(cursor.fetchall())


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_partitions_of_this_week_and_four_more_exist_after_migrate(table: PartitionedTable) -> None:
    found = list_partitions(table)
    now = database_now()
    assert any(each.start <= now < each.end for each in found)
    assert found[-1].end > now + 3 * PERIOD
    assert [each.end for each in found[:-1]] == [each.start for each in found[1:]]
    assert make_partitions_ahead() == 0, "a second run makes no partition"


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_each_partition_has_the_storage_parameters_of_its_table(table: PartitionedTable) -> None:
    with connection.cursor() as cursor:
        for partition in list_partitions(table):
            cursor.execute("SELECT reloptions FROM pg_class WHERE oid = %s::regclass", [partition.name])
            assert set(cursor.fetchone()[0]) == {f"{name}={value}" for name, value in table.storage.items()}


def test_the_rows_of_a_payment_are_in_this_week(client: SignedClient) -> None:
    shop.paid(client)
    for table in (STEPS, EVENTS):
        assert set(_rows_by_partition(table)) <= {each.name for each in list_partitions(table)}


@pytest.fixture
def no_weeks() -> Iterator[None]:
    """Removes all partitions of the saga tables but the default ones."""
    for table in (STEPS, EVENTS):
        for partition in list_partitions(table):
            assert drop_partition(table, partition, kept=[])
    yield
    with without_triggers() as cursor:
        cursor.execute("DELETE FROM saga_steps; DELETE FROM saga_events")
    make_partitions_ahead()


def test_a_missing_partition_stops_no_payment(client: SignedClient, no_weeks: None) -> None:
    payment = shop.paid(client)
    assert Payment.objects.get(payment_no=payment["payment_no"]).status == "succeeded"
    assert set(_rows_by_partition(STEPS)) == {"saga_steps_default"}
    week = find_period(database_now())
    assert make_partitions_ahead() >= 2 * PERIODS_AHEAD - 2
    assert list_partitions(STEPS)[0].start > week, "the rows of this week are in the default partition"
    assert set(_rows_by_partition(STEPS)) == {"saga_steps_default"}


def test_retention_drops_the_weeks_of_finished_sagas(world: World, old_weeks: None) -> None:
    """The saga of the open payment keeps its steps and history, which move to the default partition."""
    steps_kept = SagaStep.objects.filter(saga__business_id=world.open).count()
    _age_sagas()
    assert "saga_steps_default" not in _rows_by_partition(STEPS)
    assert drop_expired_partitions() == 9, "three weeks of three tables"
    assert _rows_by_partition(STEPS) == {"saga_steps_default": steps_kept}
    assert set(SagaStep.objects.values_list("saga__business_id", flat=True)) == {world.open}
    assert set(SagaEvent.objects.values_list("saga__business_id", flat=True)) == {world.open}
    assert not run_checks(only=["terminal_steps", "completed_sagas", "compensated_sagas"]).failed
    prune_history()
    assert SagaInstance.objects.get().business_id == world.open


def test_sagas_stay_as_long_as_their_partition(world: World, old_weeks: None) -> None:
    """Otherwise their steps would be deleted one by one, and the drop would save nothing."""
    _age_sagas()
    before = SagaInstance.objects.count()
    with open_session() as session, session.transaction():
        session.execute("LOCK TABLE saga_steps IN ROW EXCLUSIVE MODE")
        pruned = _prune_with_short_locks()
    assert (pruned, SagaInstance.objects.count()) == (3, before), "only the weeks of webhook attempts"
    assert prune_history().sagas == before - 1


def _prune_with_short_locks() -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "LOCK_TIMEOUT", "2s")
        return prune_history().partitions


def test_retention_drops_the_attempts_of_old_deliveries(
    client: SignedClient, old_weeks: None, sabotage: Callable[..., None]
) -> None:
    for _each in range(2):
        shop.opened(client, callback_url="http://127.0.0.1:9/callback")
    fanout.fan_out_batch()
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=2)) == 2
    sabotage("UPDATE webhook_deliveries SET status = 'failed', due_at = NULL, lease_expires_at = NULL")
    _age("webhook_deliveries", "delivery_id", "webhook_attempts")
    sent_again = WebhookDelivery.objects.latest("id")
    sabotage("UPDATE webhook_deliveries SET updated_at = now() WHERE id = %(id)s", {"id": sent_again.id})
    assert drop_expired_partitions() == 9
    assert WebhookAttempt.objects.get().delivery_id == sent_again.id


@pytest.fixture
def coming_week() -> Iterator[dt.datetime]:
    """A time in a week that has no partition yet."""
    week = database_now() + 20 * PERIOD
    yield week
    for table in ALL:
        for partition in list_partitions(table):
            if partition.end > week:
                assert drop_partition(table, partition, kept=[])


def _lock_as_a_writer(session: "psycopg.Connection[object]", *tables: str) -> None:
    session.execute(f"LOCK TABLE {', '.join(tables)} IN ROW EXCLUSIVE MODE")  # that of INSERT and UPDATE


def _wait_for_waiting(sessions: int) -> None:
    wait_until(lambda: waiting_for_locks() >= sessions, PATIENCE_SECONDS, f"{sessions} sessions at a lock")


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_a_writer_of_the_parent_can_write_the_table_while_a_new_partition_waits(
    table: PartitionedTable, coming_week: dt.datetime
) -> None:
    """The engine inserts the saga before its steps. In the other order both would wait for each other."""
    with open_session() as writer:
        with writer.transaction():
            _lock_as_a_writer(writer, table.parent)
            made = in_background(lambda: make_partitions(table, first=coming_week, last=coming_week))
            _wait_for_waiting(1)
            _lock_as_a_writer(writer, table.name)
        assert made.result(PATIENCE_SECONDS) == 1


@pytest.mark.parametrize("claim", ["one", "due"])
def test_a_claim_that_waits_behind_a_new_partition_holds_no_lock_on_the_steps(
    claim: str, coming_week: dt.datetime
) -> None:
    claims: dict[str, Callable[[], object]] = {
        "one": lambda: store.claim_saga(UUID(int=1)),
        "due": lambda: store.claim_due_sagas(task_queue="none", places=1).sagas,
    }
    with open_session() as writer:
        with writer.transaction():
            _lock_as_a_writer(writer, "saga_instances")
            made = in_background(lambda: make_partitions(STEPS, first=coming_week, last=coming_week))
            _wait_for_waiting(1)
            claimed = in_background(claims[claim])
            _wait_for_waiting(2)
        assert made.result(PATIENCE_SECONDS) == 1
        assert not claimed.result(PATIENCE_SECONDS)


def test_weeks_are_dropped_while_a_writer_holds_the_parents(world: World, old_weeks: None) -> None:
    """The drop does not wait for the parent, so that it cannot cause a deadlock. One saga keeps its rows."""
    _age_sagas()
    with open_session() as writer, writer.transaction():
        _lock_as_a_writer(writer, "saga_instances", "webhook_deliveries")
        assert drop_expired_partitions() == 9
        _lock_as_a_writer(writer, *(table.name for table in ALL))


def test_partitions_are_made_and_dropped_beside_writers(coming_week: dt.datetime) -> None:
    has_written, is_over = threading.Event(), threading.Event()

    def write() -> None:
        with open_session() as writer:
            while not is_over.is_set():
                with writer.transaction():
                    _lock_as_a_writer(writer, STEPS.parent)
                    _lock_as_a_writer(writer, STEPS.name)
                has_written.set()

    written = in_background(write)
    try:
        assert has_written.wait(PATIENCE_SECONDS)
        assert make_partitions(STEPS, first=coming_week, last=coming_week) == 1
        assert drop_partition(STEPS, list_partitions(STEPS)[-1], kept=[])
    finally:
        is_over.set()
    written.result(PATIENCE_SECONDS)


def test_a_statement_that_takes_too_long_is_left_to_the_next_run(
    coming_week: dt.datetime, old_weeks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest = list_partitions(STEPS)[0]
    with monkeypatch.context() as patch, open_session() as session, session.transaction():
        patch.setattr(partitions, "STATEMENT_TIMEOUT", "50ms")
        _lock_as_a_writer(session, STEPS.name)
        assert make_partitions(STEPS, first=coming_week, last=coming_week) == 0
        assert not drop_partition(STEPS, oldest, kept=[])
    assert list_partitions(STEPS)[0] == oldest


@pytest.fixture
def half_a_week() -> Iterator[None]:
    """A partition of half of the last week, made by hand, so that the week has none and cannot get one."""
    last = list_partitions(STEPS)[-1]
    half = Partition("saga_steps_half", last.start + PERIOD / 2, last.end)
    assert drop_partition(STEPS, last, kept=[])
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {half.name} PARTITION OF saga_steps"
            f" FOR VALUES FROM ('{half.first_id}') TO ('{half.end_id}')"
        )
    yield
    assert drop_partition(STEPS, half, kept=[])
    make_partitions_ahead()


def test_history_is_pruned_also_when_a_partition_cannot_be_made(
    world: World, sabotage: Callable[..., None], half_a_week: None
) -> None:
    sabotage(
        "UPDATE saga_instances SET created_at = now() - %(age)s, updated_at = now() - %(age)s", {"age": AGE}
    )
    with pytest.raises(ProgrammingError, match="would overlap partition"):
        prune()
    assert SagaInstance.objects.get().business_id == world.open
