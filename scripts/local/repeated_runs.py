"""Tests that failed in a full run run again, alone (docs/TESTING.md)."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.local.config import ROOT

TESTS_FAILED = 1  # pytest's exit code; others mean that pytest itself could not work
MOST = 3  # more failures than that are a fault, not a busy machine
RUNS = 3  # a race that is lost every second time still fails seven times out of eight
LAST_FAILED = Path(".pytest_cache") / "v" / "cache" / "lastfailed"


def passes_alone(exit_code: int, environment: dict[str, str], *, root: Path = ROOT) -> bool:
    """Whether the few tests that failed in the last run of pytest pass three times in a row without all the others.

    Prints their names, because each of them is to be mended all the same.
    """
    failed = _read_failed(root)
    if exit_code != TESTS_FAILED or not 0 < len(failed) <= MOST:
        return False
    print(f"\n=== pytest: {len(failed)} failed; they run {RUNS} times again, alone", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", "0", *failed]
    for _run in range(RUNS):
        if subprocess.run(command, cwd=root, env=environment, check=False).returncode != 0:
            return False
    print("\nUNSTABLE: these failed beside all other tests and passed alone. Mend them:", *failed, sep="\n  ")
    return True


def forget_failures(*, root: Path = ROOT) -> None:
    """pytest keeps those of earlier runs until the very test passes, also when it has another name now."""
    (root / LAST_FAILED).unlink(missing_ok=True)


def _read_failed(root: Path) -> list[str]:
    file = root / LAST_FAILED
    return sorted(json.loads(file.read_text())) if file.exists() else []
