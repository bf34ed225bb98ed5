"""Reads how PostgreSQL executed a statement: with which indexes, and how many rows it read."""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from tests.support.waiting import PATIENCE_SECONDS, wait_until

Plan = dict[str, Any]


def wait_for_autovacuum() -> None:
    """Waits until no ANALYZE of PostgreSQL's own runs: it keeps dead rows visible, so that their index entries cannot
    be marked."""
    wait_until(lambda: not _is_autovacuum_running(), PATIENCE_SECONDS, "the end of autovacuum")


def _is_autovacuum_running() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity"
            " WHERE backend_type = 'autovacuum worker' AND datname = current_database())"
        )
        (is_running,) = cursor.fetchone()
    return bool(is_running)


def scans(sql: str, params: Any) -> list[Plan]:
    """Returns every scan of a table in the executed plan. The statement is rolled back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
        (explained,) = cursor.fetchone()
        transaction.set_rollback(True)
    plan = (json.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"]
    return [node for node in _nodes(plan) if "Relation Name" in node and "Scan" in node["Node Type"]]


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _nodes(part)


def looked_at(found: list[Plan], table: str) -> float:
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in found
        if node["Relation Name"] == table or node["Relation Name"].startswith(f"{table}_")  # a partition
    )


def blocks_of(found: list[Plan]) -> int:
    """Returns how many pages of tables and indexes were read, those with only dead rows included."""
    return sum(node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in found)


def require_no_table_is_read_through(found: list[Plan]) -> None:
    assert found
    # A plan also has the empty partitions, whose scans never run.
    read = [node for node in found if node["Node Type"] == "Seq Scan" and node["Actual Loops"]]
    assert not read, json.dumps(read, indent=1)
