"""Sweep and claim read what is due, through the partial indexes, and neither the history nor each other's steps.

Asserted on what the plans really did: which index, and how many rows were looked at. Statistics are fresh, and the
planner is left free. A history that was lived leaves a dead row, and dead entries in the indexes, for each commit.
"""

from collections.abc import Iterator

import pytest
from django.db import connection

from sagas import statements, store
from sagas.models import SagaInstance
from tests.support.plans import blocks_of, looked_at, require_no_table_is_read_through, scans

pytestmark = pytest.mark.django_db(transaction=True)

FINISHED, DUE, STEPS = 20_000, 1_000, 3

_SAGAS = """
INSERT INTO saga_instances (id, business_id, business_type, definition, definition_version, status, direction,
    past_pivot, current_step, error_code, error_message, metadata, lease_owner, lease_expires_at, fence, revision,
    claims_without_progress, deadline_at, needs_attention, attention_reason, trace_context)
SELECT gen_random_uuid(), %(kind)s || n, 'test', 'test.plans', 1, %(status)s, 'forward', false, 1, '', '', '{}', '',
       %(lease)s::timestamptz, 1, 1, 0, now() + interval '1 day', false, '', '{}'
FROM generate_series(1, %(count)s) AS n
"""
_STEPS = """
INSERT INTO saga_steps (id, saga_id, step_order, step_name, status, in_doubt, compensating, error_message, retry_count,
    max_retry_count, next_retry_at)
SELECT gen_random_uuid(), i.id, n, 'step' || n,
       CASE WHEN i.status = 'completed' THEN 'completed' WHEN n = 1 AND i.lease_expires_at IS NULL THEN 'failed'
            ELSE 'pending' END, false, false, '', 0, 3,
       CASE WHEN i.status <> 'completed' AND n = 1 AND i.lease_expires_at IS NULL THEN now() - interval '1 second' END
FROM saga_instances i, generate_series(1, %(steps)s) AS n
"""


# What the commits of a saga of three steps do to the columns that the sweep's indexes know, each leaving a dead row.
_LIVES = (
    "UPDATE saga_instances SET status = 'in_progress', lease_owner = 'w', lease_expires_at = now() WHERE {one}",
    "UPDATE saga_steps SET status = 'failed', next_retry_at = now() - interval '1 day' WHERE step_order = 2 AND {its}",
    "UPDATE saga_instances SET lease_owner = '', lease_expires_at = NULL WHERE {one}",
    "UPDATE saga_steps SET status = 'completed', next_retry_at = NULL WHERE {its}",
    "UPDATE saga_instances SET status = 'completed', lease_expires_at = NULL WHERE {one}",
)
_ONE = "business_id LIKE 'done-%%'"
_ITS = f"saga_id IN (SELECT id FROM saga_instances WHERE {_ONE})"
_TABLES = ("saga_instances", "saga_steps")


@pytest.fixture
def lived_history(transactional_db: None) -> Iterator[None]:
    """The same sagas, each brought to its end by updates, before any vacuum comes."""
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        for kind, status, lease, count in (
            ("done-", "pending", "2019-01-01", FINISHED),
            ("retry-", "in_progress", None, DUE),
            ("lease-", "in_progress", "2020-01-01", DUE),
        ):
            cursor.execute(_SAGAS, {"kind": kind, "status": status, "lease": lease, "count": count})
        cursor.execute(_STEPS, {"steps": STEPS})
        for life in _LIVES:
            cursor.execute(life.format(one=_ONE, its=_ITS), [])
        cursor.execute("ANALYZE saga_instances, saga_steps")
    yield
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)")


@pytest.fixture
def history(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        for kind, status, lease, count in (
            ("done-", "completed", None, FINISHED),
            ("retry-", "in_progress", None, DUE),
            ("lease-", "in_progress", "2020-01-01", DUE),
        ):
            cursor.execute(_SAGAS, {"kind": kind, "status": status, "lease": lease, "count": count})
        cursor.execute(_STEPS, {"steps": STEPS})
        cursor.execute("ANALYZE saga_instances, saga_steps")


def test_the_sweep_reads_what_is_due_through_the_partial_indexes(history: None) -> None:
    found = scans(statements.DISPATCH, {"batch": store.SWEEP_BATCH, "dispatch_seconds": 15})
    require_no_table_is_read_through(found)
    used = {node["Index Name"] for node in found if "Index Name" in node}
    assert {"saga_step_due_retry", "saga_lease_expiry"} <= used
    assert looked_at(found, "saga_steps") <= DUE
    # At most all that live, and each of a batch again to be locked and updated.
    assert looked_at(found, "saga_instances") <= 2 * DUE + 4 * store.SWEEP_BATCH


def require_a_batch_is_enough(sql: str) -> None:
    given = {"batch": store.SWEEP_BATCH, "dispatch_seconds": 15}
    scans(sql, given)  # who comes first marks the dead entries, once
    found = scans(sql, given)
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_steps") <= store.SWEEP_BATCH
    assert looked_at(found, "saga_instances") <= 5 * store.SWEEP_BATCH
    assert blocks_of(found) <= 10 * store.SWEEP_BATCH


def test_the_sweep_reads_a_batch_beside_the_dead_rows_of_a_history(lived_history: None) -> None:
    require_a_batch_is_enough(statements.DISPATCH)


WORSE = {
    "all that is due is read and sorted": ("ORDER BY lease_expires_at", "ORDER BY created_at"),
    "not the condition of the index": ("s.status = 'failed' AND s.next_retry_at", "s.next_retry_at"),
}


@pytest.mark.parametrize("how", WORSE)
def test_a_worse_sweep_is_noticed(lived_history: None, how: str) -> None:
    sql = statements.DISPATCH.replace(*WORSE[how])
    assert sql != statements.DISPATCH
    with pytest.raises(AssertionError):
        require_a_batch_is_enough(sql)


@pytest.mark.parametrize("kind", ["retry-1", "lease-1"])
def test_a_claim_reads_its_own_saga_beside_the_dead_rows_of_a_history(lived_history: None, kind: str) -> None:
    saga = SagaInstance.objects.get(business_id=kind)
    found = scans(statements.CLAIM, {"id": saga.id, "ticket": None, "worker": "test", "lease_seconds": 30})
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_instances") == 1
    assert looked_at(found, "saga_steps") <= 2 * STEPS
    assert blocks_of(found) <= 10 * STEPS


@pytest.mark.parametrize("kind", ["retry-1", "lease-1"])
def test_a_claim_reads_its_own_saga_however_many_are_due(history: None, kind: str) -> None:
    saga = SagaInstance.objects.get(business_id=kind)
    params = {"id": saga.id, "ticket": None, "worker": "test", "lease_seconds": 30}
    found = scans(statements.CLAIM, params)
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_instances") == 1
    assert looked_at(found, "saga_steps") <= 2 * STEPS
    assert store.claim(saga.id) is None, "no such definition: parked"
    saga.refresh_from_db()
    assert saga.needs_attention, "it was due, so the plan above is that of a claim that worked"


def test_the_steps_of_a_saga_are_found_by_its_id(history: None) -> None:
    saga = SagaInstance.objects.get(business_id="done-7")
    found = scans(statements.STEPS, [saga.id])
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_steps") <= 2 * STEPS
