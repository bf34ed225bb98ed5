"""Tests of real processes that failed in a full run run once more, alone (docs/TESTING.md)."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.local.config import ROOT

# Such tests depend on the speed of the machine, which they share with the whole suite. A test in one process does not:
# it never gets a second run.
DEPENDENT_ON_SPEED = "stack or processes or browser"
TESTS_FAILED = 1  # pytest's exit code; others mean that pytest itself could not work
MOST = 3  # more than that is a fault, not a busy machine
LAST_FAILED = Path(".pytest_cache") / "v" / "cache" / "lastfailed"


def passes_alone(exit_code: int, environment: dict[str, str], *, root: Path = ROOT) -> bool:
    """Whether each of the tests that failed in the last run of pytest depends on speed, and passes now.

    Prints their names, because each of them is to be mended all the same.
    """
    failed = _read_failed(root)
    if exit_code != TESTS_FAILED or not 0 < len(failed) <= MOST:
        return False
    print(f"\n=== pytest: {len(failed)} failed; those of real processes run again, alone", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", "0", "--lf", "-m", DEPENDENT_ON_SPEED]
    subprocess.run(command, cwd=root, env=environment, check=False)
    if _read_failed(root):  # pytest keeps those that failed again, and those that it did not run
        return False
    print("\nUNSTABLE: these failed beside all other tests and passed alone. Mend them:", *failed, sep="\n  ")
    return True


def _read_failed(root: Path) -> list[str]:
    file = root / LAST_FAILED
    return sorted(json.loads(file.read_text())) if file.exists() else []
