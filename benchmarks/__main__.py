"""Runs the benchmarks and renders docs/PERFORMANCE.md from their results.

    make bench                                          all, which takes about an hour on a quiet machine
    make bench ARGS="--only payments,replay"            some; the others keep their results
    make bench ARGS="--quick"                           all, with few requests; the results are not kept

Every benchmark has PostgreSQL and Redis of its own. One that fails does not stop the others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import document
from benchmarks.figures import Effort
from benchmarks.machine import describe_machine
from benchmarks.registry import NAMES
from benchmarks.results import COMMITTED, BenchmarkResult, Results, read_result, read_results, write_results
from scripts.local.testing import servers

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


def main() -> None:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--only", type=_read_names, default=NAMES, help=f"some of {', '.join(NAMES)}")
    options.add_argument(
        "--quick", action="store_true", help="few requests: shows that every benchmark works"
    )
    options.add_argument(
        "--rounds", type=int, default=ROUNDS, help="a figure is the median of so many rounds"
    )
    options.add_argument(
        "--payments",
        type=int,
        default=0,
        help="growth also measures beside so many payments, such as 10000000",
    )
    options.add_argument("--output", type=Path, help="the results' file; without --quick the committed one")
    options.add_argument("--render", action="store_true", help="only render docs/PERFORMANCE.md again")
    chosen = options.parse_args()
    if chosen.render:
        document.render_into_document(read_results(COMMITTED))
        return
    output = chosen.output or (ROOT / ".local" / "benchmarks" / "quick.json" if chosen.quick else COMMITTED)
    effort = Effort(chosen.quick, 1 if chosen.quick else chosen.rounds, chosen.payments)
    failed = [name for name in chosen.only if not _measure(name, effort, output)]
    if output == COMMITTED:
        document.render_into_document(read_results(COMMITTED))
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def _read_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(NAMES)}")
    return names


def _measure(name: str, effort: Effort, output: Path) -> bool:
    """Runs one benchmark on new servers, prints its figures and keeps them. Returns whether it succeeded."""
    print(f"== {name}", flush=True)
    with tempfile.TemporaryDirectory() as folder, servers() as environment:
        path = Path(folder, "result.json")
        command = [sys.executable, "-m", "benchmarks.child", name, str(path), "--rounds", str(effort.rounds)]
        command += ["--payments", str(effort.payments)]
        process = subprocess.run(
            [*command, *(["--quick"] if effort.quick else [])],
            cwd=ROOT,
            env={**environment, "DJANGO_SETTINGS_MODULE": "benchmarks.settings"},
            check=False,
        )
        if process.returncode != 0:
            return False
        result = read_result(json.loads(path.read_text(encoding="utf-8")))
    for figure in result.figures:
        print(f"   {figure}", flush=True)
    _keep(output, result)
    return True


def _keep(path: Path, result: BenchmarkResult) -> None:
    """Replaces this benchmark's result. Results of another machine are dropped: they cannot be compared."""
    machine = describe_machine()
    before = read_results(path) if path.exists() else Results(machine)
    by_name = dict(before.by_name) if before.machine == machine else {}
    by_name[result.benchmark.name] = result
    ordered = {name: by_name[name] for name in NAMES if name in by_name}
    write_results(path, Results(machine, ordered))


if __name__ == "__main__":
    main()
