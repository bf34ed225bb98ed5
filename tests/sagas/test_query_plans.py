"""Claims read due sagas through the partial indexes. They read neither ended sagas nor the steps of other sagas.

The tests check what the executed plans did: which index they used, and how many rows they read. Statistics are fresh,
and no kind of scan is switched off. In `lived_history`, each commit has left a dead row and dead index entries.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from sagas import statements, store
from sagas.models import SagaInstance
from tests.support.plans import (
    blocks_of,
    looked_at,
    require_no_table_is_read_through,
    scans,
    wait_for_autovacuum,
)
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True)

FINISHED, DUE, STEPS = 20_000, 1_000, 3

_SAGAS = """
INSERT INTO saga_instances (id, business_id, business_type, definition, definition_version, status, direction,
    past_pivot, current_step, error_code, error_message, metadata, lease_owner, lease_expires_at, fence, revision,
    claims_without_progress, deadline_at, needs_attention, attention_reason, trace_context, fairness_key,
    retry_at)
SELECT gen_random_uuid(), %(kind)s || n, 'test', 'test.plans', 1, %(status)s::text, 'forward', false, 1, '', '',
       '{}', '', %(lease)s::timestamptz, 1, 1, 0, now() + interval '1 day', false, '', '{}', 'merchant-' || n %% 10,
       CASE WHEN %(status)s::text = 'in_progress' AND %(lease)s::timestamptz IS NULL
            THEN now() - interval '1 second' END
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


# The updates that the commits of a saga of three steps make in the indexed columns. Each leaves a dead row.
_COMMITS = (
    "UPDATE saga_instances SET status = 'in_progress', lease_owner = 'w', lease_expires_at = now() WHERE {one}",
    "UPDATE saga_steps SET status = 'failed', next_retry_at = now() - interval '1 day' WHERE step_order = 2 AND {its}",
    "UPDATE saga_instances SET lease_owner = '', lease_expires_at = NULL, retry_at = now() - interval '1 day'"
    " WHERE {one}",
    "UPDATE saga_steps SET status = 'completed', next_retry_at = NULL WHERE {its}",
    "UPDATE saga_instances SET status = 'completed', lease_expires_at = NULL, retry_at = NULL WHERE {one}",
)
_ONE = "business_id LIKE 'done-%%'"
_ITS = f"saga_id IN (SELECT id FROM saga_instances WHERE {_ONE})"
# Their ids are of no week, so the steps are in the default partition.
_TABLES = ("saga_instances", "saga_steps_default")


def _commit(sql: str, parameters: dict[str, Any] | list[Any]) -> None:
    with without_triggers() as cursor:  # triggers for so many rows would take long
        cursor.execute(sql, parameters)


@pytest.fixture
def lived_history(transactional_db: None) -> Iterator[None]:
    """The same sagas as in `history`, completed by updates and never vacuumed."""
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    for kind, status, lease, count in (
        ("done-", "pending", "2019-01-01", FINISHED),
        ("retry-", "in_progress", None, DUE),
        ("lease-", "in_progress", "2020-01-01", DUE),
    ):
        _commit(_SAGAS, {"kind": kind, "status": status, "lease": lease, "count": count})
    _commit(_STEPS, {"steps": STEPS})
    for update in _COMMITS:
        _commit(update.format(one=_ONE, its=_ITS), [])
    with connection.cursor() as cursor:
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


PLACES, KEYS = 12, 10


def claim_values() -> dict[str, Any]:
    return store.get_claim_parameters(
        task_queue="default", places=PLACES, held={"merchant-3": 2}, possibly_poison=1, after=""
    )


def require_a_claim_reads_what_it_may_take(sql: str) -> None:
    """However many sagas are due, the claim reads the first ones of each key, and each claimed saga once more to lock
    and update it."""
    wait_for_autovacuum()
    scans(sql, claim_values())  # the first scan marks the dead index entries, once
    found = scans(sql, claim_values())
    require_no_table_is_read_through(found)
    assert "saga_due_by_fairness_key" in {node.get("Index Name") for node in found}
    assert looked_at(found, "saga_steps") <= 4 * STEPS * PLACES
    assert looked_at(found, "saga_instances") <= KEYS * (store.SAGAS_PER_KEY + 2) + 3 * PLACES
    assert blocks_of(found) <= KEYS * (store.SAGAS_PER_KEY + 10) + 20 * PLACES


def test_a_claim_of_due_sagas_reads_only_claimable_rows(history: None) -> None:
    require_a_claim_reads_what_it_may_take(statements.CLAIM_DUE)


def test_a_claim_of_due_sagas_skips_dead_rows_of_a_history(lived_history: None) -> None:
    require_a_claim_reads_what_it_may_take(statements.CLAIM_DUE)


WORSE = {
    "all due sagas of a key are read and sorted": (
        "ORDER BY fairness_key, due_at LIMIT %(window)s",
        "ORDER BY created_at LIMIT %(window)s",
    ),
    "the condition of the index is left out": ("due_at IS NOT NULL AND fairness_key >=", "fairness_key >="),
}


@pytest.mark.parametrize("how", WORSE)
def test_a_worse_query_plan_is_noticed(lived_history: None, how: str) -> None:
    sql = statements.CLAIM_DUE.replace(*WORSE[how])
    assert sql != statements.CLAIM_DUE
    with pytest.raises(AssertionError):
        require_a_claim_reads_what_it_may_take(sql)


@pytest.mark.parametrize("kind", ["retry-1", "lease-1"])
def test_a_claim_reads_its_own_saga_beside_the_dead_rows_of_a_history(lived_history: None, kind: str) -> None:
    saga = SagaInstance.objects.get(business_id=kind)
    wait_for_autovacuum()
    found = scans(statements.CLAIM, {"id": saga.id, "worker": "test", "lease_seconds": 30})
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_instances") == 1
    assert looked_at(found, "saga_steps") <= 2 * STEPS
    assert blocks_of(found) <= 10 * STEPS


@pytest.mark.parametrize("kind", ["retry-1", "lease-1"])
def test_a_claim_reads_its_own_saga_however_many_are_due(history: None, kind: str) -> None:
    saga = SagaInstance.objects.get(business_id=kind)
    params = {"id": saga.id, "worker": "test", "lease_seconds": 30}
    found = scans(statements.CLAIM, params)
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_instances") == 1
    assert looked_at(found, "saga_steps") <= 2 * STEPS
    claimed_before = saga.fence
    assert store.claim_saga(saga.id) is None, (
        "the definition is unknown, so the saga is left to a newer release"
    )
    saga.refresh_from_db()
    assert saga.fence == claimed_before + 1, (
        "the saga was due, so the plan above is that of a successful claim"
    )


def test_the_steps_of_a_saga_are_found_by_its_id(history: None) -> None:
    saga = SagaInstance.objects.get(business_id="done-7")
    found = scans(statements.STEPS, [[saga.id]])
    require_no_table_is_read_through(found)
    assert looked_at(found, "saga_steps") <= 2 * STEPS
