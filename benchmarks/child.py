"""Runs one benchmark in this process and writes its result: `python -m benchmarks` starts it."""

import argparse
import importlib
import time
from dataclasses import asdict
from pathlib import Path

import django

from benchmarks.figures import Effort, Figure
from benchmarks.machine import describe_moment
from benchmarks.results import BenchmarkResult, write_json


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("name")
    options.add_argument("output", type=Path)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--payments", type=int, default=0)
    chosen = options.parse_args()
    moment = describe_moment()
    django.setup()
    postgresql = _prepare_database()
    module = importlib.import_module(f"benchmarks.{chosen.name}")
    began = time.monotonic()
    figures: list[Figure] = module.measure(Effort(chosen.quick, chosen.rounds, chosen.payments))
    result = BenchmarkResult(
        benchmark=module.BENCHMARK,
        moment=moment,
        postgresql=postgresql,
        quick=chosen.quick,
        seconds=time.monotonic() - began,
        figures=tuple(figures),
    )
    write_json(chosen.output, asdict(result))


def _prepare_database() -> str:
    """Applies the migrations. Returns PostgreSQL's version."""
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        (version,) = cursor.fetchone()
    return str(version)


if __name__ == "__main__":
    main()
