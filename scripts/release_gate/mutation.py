"""Mutation testing: mutmut changes the engine, idempotency and money code at each place, and runs the tests of it.

    ./scripts/release-gate.sh --only mutation
    .venv/bin/python -m scripts.release_gate.mutation sagas.planner.*      some mutants

`[tool.mutmut]` in pyproject.toml says which files are changed, and which tests judge. A mutant that survives is
answered in docs/SECURITY.md, or by a new test.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.local import errors, testing
from scripts.local.config import ROOT
from scripts.release_gate import step
from scripts.release_gate.step import GateStepFailed

COPY = step.REPORTS / "mutation"
LEAST_SCORE = 85.0
# mutmut's exit codes of tests: killed, survived, no test came by, skipped, and too slow.
KILLED, SURVIVED, NO_TESTS, SKIPPED, TOO_SLOW = {1, 3}, {0}, {5, 33}, {34}, {24, 36, 152, 255, -24}
# Runs mutmut inside the project's environment: the tools come last, so that no package of the project is replaced.
MUTMUT = "import sys; sys.path.append(sys.argv.pop(1)); from mutmut.__main__ import cli; cli()"


def measure_score() -> str:
    run_mutants([])
    return summarize()


def run_mutants(names: list[str]) -> None:
    """Copies the project, creates one database for all mutants, and lets mutmut work in one process. What an earlier
    run has decided about unchanged functions is kept."""
    _copy_project()
    (site_packages,) = step.TOOLS.glob("lib/python3*/site-packages")
    with testing.servers() as environment:
        first = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "0",
            "--reuse-db",
            "tests/ledger/test_document.py",
        ]
        created = subprocess.run(first, cwd=COPY, env=environment, capture_output=True, text=True)
        if created.returncode != 0:
            raise GateStepFailed(created.stdout[-2000:])
        command = [sys.executable, "-c", MUTMUT, str(site_packages), "run", "--max-children", "1", *names]
        with (step.REPORTS / "mutation.log").open("w") as log:
            finished = subprocess.run(command, cwd=COPY, env=environment, stdout=log, stderr=log)
    if finished.returncode != 0:
        raise GateStepFailed(f"mutmut failed: {step.REPORTS / 'mutation.log'}")


def summarize() -> str:
    results = dict(_results())
    decided = {name: code for name, code in results.items() if code is not None and code not in SKIPPED}
    caught = [name for name, code in decided.items() if code in KILLED | TOO_SLOW]
    left = sorted(decided.keys() - set(caught))
    (step.REPORTS / "surviving-mutants.txt").write_text("".join(f"{name}\n" for name in left))
    if not decided:
        raise GateStepFailed("no mutant was tested")
    score = 100 * len(caught) / len(decided)
    summary = f"{score:.1f} %: {len(caught)} of {len(decided)} mutants caught, {len(results) - len(decided)} not tested"
    if score < LEAST_SCORE:
        raise GateStepFailed(f"{summary}; at least {LEAST_SCORE:.0f} % are required")
    return summary


def _results() -> Iterator[tuple[str, int | None]]:
    for file in COPY.glob("mutants/**/*.py.meta"):
        yield from json.loads(file.read_text())["exit_code_by_key"].items()


def _copy_project() -> None:
    """The files of the repository. An unchanged file keeps its time, by which mutmut knows it."""
    wanted = {Path(name) for name in step.tracked_files()}
    for name in wanted:
        source, target = ROOT / name, COPY / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            os.utime(target)
    for old in COPY.rglob("*"):
        inside = old.relative_to(COPY)
        if old.is_file() and inside.parts[0] != "mutants" and inside not in wanted:
            old.unlink()


def main() -> int:
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    run_mutants(sys.argv[1:])
    try:
        print(summarize())
    except GateStepFailed as problem:
        print(problem)
    print((step.REPORTS / "surviving-mutants.txt").read_text(), end="")
    return 0


if __name__ == "__main__":
    errors.run(main)
