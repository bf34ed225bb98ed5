"""The cost of a saga of 3 steps that do nothing, on our engine and on DBOS, on the same PostgreSQL in the same run.

    python -m scripts.local.testing python -m benchmarks.sagas [--sagas 1000] [--workers 1,8,16]

Each engine runs the sagas in one process with so many threads: ours starts a saga in a transaction and advances it,
DBOS calls a `@workflow` of three `@step`s directly. Ours has three EXTERNAL steps, the most expensive
kind. DBOS is installed on its first run into its own virtual environment (`.local/benchmarks`); without it only ours
is measured.
Commits are those that the server counted (pg_stat_database, all databases), those that only read included. Statements
are those that each engine's database layer was given; BEGIN and COMMIT are not among them. `absurd-sdk` is not
measured: it installs, but the schema it needs is in no package.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psycopg

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local" / "benchmarks"
DBOS_VERSION = "3.4.0"
FLUSH_SECONDS = 11  # an idle session hands its counters in after ten
AIM_RATIO, AIM_COMMITS = 3.0, 4.2


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sagas", type=int, default=1000)
    options.add_argument("--workers", default="1,8,16")
    options.add_argument("--engine", choices=["ours", "dbos"], help=argparse.SUPPRESS)
    chosen = options.parse_args()
    workers = [int(each) for each in chosen.workers.split(",")]
    if chosen.engine:
        statements = Statements()
        run = _prepare_ours() if chosen.engine == "ours" else _prepare_dbos()
        for count in workers:
            print(json.dumps(_measure(run, statements, chosen.sagas, count)), flush=True)
        os._exit(0)  # neither engine's background threads are waited for
    dbos = _dbos_python()
    print(f"{chosen.sagas} sagas of 3 no-op steps; both engines in turn at each number of workers")
    print("workers  engine  sagas/s   p50 ms   p99 ms  commits/saga  statements/saga")
    for count in workers:
        ours = _run(sys.executable, "ours", chosen.sagas, count)
        theirs = _run(dbos, "dbos", chosen.sagas, count) if dbos else None
        for engine, result in (("ours", ours), ("dbos", theirs)):
            if result:
                print(
                    f"{count:>7}  {engine:<6} {result['rate']:>8.1f} {result['p50']:>8.2f} {result['p99']:>8.2f}"
                    f" {result['commits']:>13.2f} {result['statements']:>16.2f}"
                )
        if theirs:
            print(f"         ratio {ours['rate'] / theirs['rate']:.2f} (aim: {AIM_RATIO:g})")
        print(f"         commits per saga, ours: {ours['commits']:.2f} (aim: at most {AIM_COMMITS:g})")


def _run(python: str, engine: str, sagas: int, workers: int) -> dict[str, Any]:
    command = [
        python,
        str(Path(__file__)) if engine == "dbos" else "-m",
        *([] if engine == "dbos" else ["benchmarks.sagas"]),
    ]
    command += ["--engine", engine, "--sagas", str(sagas), "--workers", str(workers)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    assert lines, f"{engine} did not run:\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


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
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    from benchmarks import noop
    from sagas import engine
    from sagas.models import SagaStatus
    from sagas.start import start_saga

    call_command("migrate", verbosity=0)

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


def _dbos_python() -> str:
    """The interpreter of a virtual environment that has DBOS; nothing when it cannot be installed."""
    python = HOME / "bin" / "python"
    if not python.exists():
        venv.create(HOME, with_pip=True)
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", f"dbos=={DBOS_VERSION}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode != 0:
        print(f"dbos is not measured, it cannot be installed:\n{installed.stderr[-500:]}")
        return ""
    return str(python)


if __name__ == "__main__":
    main()
