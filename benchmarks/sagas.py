"""The cost of a saga of 3 steps that do nothing, on our engine and on DBOS, on the same PostgreSQL in the same run.

Each engine runs the sagas in one process with so many threads: ours starts a saga in a transaction and advances it,
DBOS calls a `@workflow` of three `@step`s directly. Ours has three EXTERNAL steps, the most expensive kind. DBOS is
installed on its first run into its own virtual environment (`.local/benchmarks/dbos`); where it cannot be installed,
only ours is measured. `absurd-sdk` is not measured: the schema that it needs is in no package.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.figures import Benchmark, Effort, Figure, median_figure

BENCHMARK = Benchmark(
    "sagas",
    "Sagas a second of three steps that do nothing, in one process, beside DBOS on the same PostgreSQL.",
    "With one worker, the wait for four commits; from eight workers on, CPU.",
)
ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".local" / "benchmarks" / "dbos"
ENGINE = Path(__file__).with_name("saga_engines.py")
DBOS_VERSION = "3.4.0"
WORKERS = (1, 8, 16)


def measure(effort: Effort) -> list[Figure]:
    dbos = "" if effort.quick else _install_dbos()
    sagas = effort.choose(1000, 20)
    return [figure for workers in WORKERS for figure in _compare(dbos, sagas, workers, effort)]


def _compare(dbos: str, sagas: int, workers: int, effort: Effort) -> list[Figure]:
    """Both engines in turn."""
    ours, theirs = [], []
    for _round in range(effort.rounds):
        ours.append(_run(sys.executable, "ours", sagas, workers))
        if dbos:
            theirs.append(_run(dbos, "dbos", sagas, workers))
    base = None
    if theirs:
        base = median_figure(f"DBOS {DBOS_VERSION}, workers: {workers}", _pick(theirs, "rate"), "sagas/s")
    aim = "at least 3" if base else ""
    figures = [base] if base else []
    figures.append(
        median_figure(f"ours, workers: {workers}", _pick(ours, "rate"), "sagas/s", base=base, aim=aim)
    )
    for engine, rounds in (("DBOS", theirs), ("ours", ours)):
        for name, unit in (("p50", "ms"), ("p99", "ms"), ("commits", "a saga"), ("statements", "a saga")):
            if rounds:
                title = f"{engine}, workers: {workers}, {name}"
                figures.append(median_figure(title, _pick(rounds, name), unit))
    return figures


def _pick(rounds: list[dict[str, float]], name: str) -> list[float]:
    return [each[name] for each in rounds]


def _run(python: str, engine: str, sagas: int, workers: int) -> dict[str, float]:
    arguments = ["--engine", engine, "--sagas", str(sagas), "--workers", str(workers)]
    result = subprocess.run(
        # Not the folder of the program, whose modules are named like packages.
        [python, "-P", str(ENGINE), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT) if engine == "ours" else ""},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    assert lines, f"{engine} did not run:\n{result.stdout[-2000:]}{result.stderr[-2000:]}"
    answer: dict[str, Any] = json.loads(lines[-1])
    return answer


def _install_dbos() -> str:
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
