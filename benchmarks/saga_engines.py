"""Runs sagas on one engine and prints a JSON object: `benchmarks.sagas` starts it, for DBOS with another interpreter.

Commits are those that the server counted (pg_stat_database, all databases), those that only read included. Statements
are those that each engine's database layer was given; BEGIN and COMMIT are not among them.
"""

import argparse
import json
import os
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, cast

import psycopg

FLUSH_SECONDS = 11  # an idle session hands its counters in after ten


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--engine", choices=["ours", "dbos"], required=True)
    options.add_argument("--sagas", type=int, required=True)
    options.add_argument("--workers", type=int, required=True)
    chosen = options.parse_args()
    statements = Statements()
    run = _prepare_ours() if chosen.engine == "ours" else _prepare_dbos()
    print(json.dumps(_measure(run, statements, chosen.sagas, chosen.workers)), flush=True)
    os._exit(0)  # neither engine's background threads are waited for


def _measure(run: Callable[[], Any], statements: "Statements", sagas: int, workers: int) -> dict[str, Any]:
    for _warm_up in range(20):
        run()
    time.sleep(FLUSH_SECONDS)
    before, statements_before = _commits(), statements.count
    spent: list[float] = []
    left = iter(range(sagas))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            began = time.perf_counter()
            run()
            spent.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=work) for _ in range(workers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    issued = statements.count - statements_before
    time.sleep(FLUSH_SECONDS)
    after = _commits()
    assert len(spent) == sagas, "some sagas failed"
    ordered = sorted(spent)
    return {
        "rate": sagas / seconds,
        "p50": statistics.median(ordered),
        "p99": statistics.quantiles(ordered, n=100)[98],
        "commits": (after - before) / sagas,
        "statements": issued / sagas,
    }


def _url(database: str) -> str:
    password = f":{os.environ['DB_PASSWORD']}" if os.environ.get("DB_PASSWORD") else ""
    user, host, port = (os.environ[f"DB_{name}"] for name in ("USER", "HOST", "PORT"))
    return f"postgresql://{user}{password}@{host}:{port}/{database}"


def _commits() -> int:
    """Commits of the whole server so far."""
    with psycopg.connect(_url("postgres"), autocommit=True) as connection:
        row = connection.execute("SELECT sum(xact_commit)::bigint FROM pg_stat_database").fetchone()
    assert row is not None
    return int(row[0])


class Statements:
    """Counts what this process gives to psycopg, which is below both engines."""

    def __init__(self) -> None:
        self.count = 0
        execute = psycopg.Cursor.execute

        def counting(cursor: Any, *args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return execute(cursor, *args, **kwargs)

        psycopg.Cursor.execute = counting  # type: ignore[method-assign,assignment]


def _prepare_ours() -> Callable[[], Any]:
    import django

    django.setup()
    from django.db import transaction

    from benchmarks import noop
    from sagas import engine
    from sagas.models import SagaStatus
    from sagas.start import start_saga

    def run() -> None:
        saga_id = uuid.uuid4()
        with transaction.atomic(durable=True):
            saga = start_saga(noop.DEFINITION, saga_id=saga_id, business_id=str(saga_id), data={})
        assert engine.advance_saga(saga).status == SagaStatus.COMPLETED

    return run


def _prepare_dbos() -> Callable[[], Any]:
    from dbos import DBOS  # type: ignore[import-not-found]

    with psycopg.connect(_url("postgres"), autocommit=True) as connection:
        if (
            connection.execute("SELECT 1 FROM pg_database WHERE datname = 'dbos_benchmark'").fetchone()
            is None
        ):
            connection.execute("CREATE DATABASE dbos_benchmark")
    url = _url("dbos_benchmark").replace("postgresql://", "postgresql+psycopg://")
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": url,
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )

    @DBOS.step()  # type: ignore[untyped-decorator]
    def step1() -> None: ...

    @DBOS.step()  # type: ignore[untyped-decorator]
    def step2() -> None: ...

    @DBOS.step()  # type: ignore[untyped-decorator]
    def step3() -> None: ...

    @DBOS.workflow()  # type: ignore[untyped-decorator]
    def flow() -> None:
        step1()
        step2()
        step3()

    DBOS.launch()
    return cast(Callable[[], Any], flow)


if __name__ == "__main__":
    main()
