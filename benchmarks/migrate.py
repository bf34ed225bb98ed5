"""Migrates beside readers and writers, from before payments had several attempts, with many payments there.

./scripts/with-test-servers.sh python -m benchmarks.migrate --payments 400000
"""

import argparse
import os
import threading
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payment_platform.settings")

FROM = [
    ("gateway", "0002_status_guards"),
    ("orders", "0002_order_guards"),
    ("sagas", "0003_operate_permission"),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--payments", type=int, default=400_000)
    count = parser.parse_args().payments
    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    from common.postgresql.sessions import open_session

    executor = MigrationExecutor(connection)
    executor.migrate(FROM)
    began = time.monotonic()
    with open_session(options=None) as session:
        session.execute("SET session_replication_role = replica")
        session.execute(_copies(session, "merchants", 1))
        for table in ("orders", "payments", "payment_attempts", "saga_instances"):
            session.execute(_copies(session, table, count))
        session.execute("VACUUM ANALYZE")
    print(f"{count} payments loaded in {time.monotonic() - began:.0f} s")
    waits: list[float] = []
    done = threading.Event()
    probe = threading.Thread(target=_read_and_write, args=(waits, done))
    probe.start()
    began = time.monotonic()
    try:
        call_command("migrate", interactive=False, verbosity=1)
    finally:
        took = time.monotonic() - began
        done.set()
        probe.join()
    print(
        f"migrated in {took:.1f} s; {len(waits)} reads and writes beside it, the slowest {max(waits):.2f} s"
    )


def _copies(session, table: str, count: int) -> str:  # type: ignore[no-untyped-def]
    """Rows that differ where a unique index wants it; all else is the type's plainest value."""
    columns = session.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
        " AND is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO'",
        [table],
    ).fetchall()
    plain = {
        "uuid": "gen_random_uuid()",
        "jsonb": "'{}'",
        "boolean": "false",
        "bigint": "1000",
        "integer": "1",
        "smallint": "1",
        "timestamp with time zone": "now()",
    }
    money = {name: "0" for name, _kind in columns if name.endswith("_minor") and name != "amount_minor"}
    special = money | {"currency": "'USD'", "environment": "'test'", "number": "1", "direction": "'forward'"}
    special["merchant_id"] = "'00000000-0000-4000-8000-000000000001'"
    special["status"] = {"saga_instances": "'completed'", "merchants": "'active'"}.get(table, "'pending'")
    unique = {"payment_no", "order_no", "business_id", "reference"}
    values = [
        special.get(name)
        or ("'N-' || n" if name in unique else None)
        or (
            "'00000000-0000-4000-8000-' || lpad(n::text, 12, '0')"
            if name in {"id", "payment_id", "order_id"}
            else None
        )
        or plain.get(kind, "'x'")
        for name, kind in columns
    ]
    cast = [
        f"({value})::{kind}" if kind in ("uuid", "jsonb") else value
        for value, (_n, kind) in zip(values, columns, strict=True)
    ]
    names = ", ".join(name for name, _kind in columns)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(cast)} FROM generate_series(1, {count}) AS n"


def _read_and_write(waits: list[float], done: threading.Event) -> None:
    from common.postgresql.sessions import open_session

    with open_session(options=None) as session:
        number = 0
        while not done.is_set():
            number += 1
            began = time.monotonic()
            session.execute("SELECT status FROM payments WHERE payment_no = %s", [f"N-{number}"])
            session.execute("UPDATE payments SET updated_at = now() WHERE payment_no = %s", [f"N-{number}"])
            waits.append(time.monotonic() - began)
            done.wait(0.02)


if __name__ == "__main__":
    main()
