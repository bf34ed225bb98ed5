"""A run with a few failures counts as passed if the failed tests then pass three times without the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import repeated_runs

# The number of this run, counted from 1.
COUNT_RUNS = """
import pathlib
FILE = pathlib.Path("runs")
RUN = len(FILE.read_text()) + 1 if FILE.exists() else 1
FILE.write_text("x" * RUN)
"""
UNSTABLE = "def test_unstable_{}():\n    assert RUN > 1\n"
PASSES_ONCE = "def test_passes_once():\n    assert RUN == 2\n"
BROKEN = "def test_broken():\n    assert False\n"


@pytest.mark.parametrize(
    ("tests", "forgiven"),
    [
        ([UNSTABLE.format(number) for number in range(3)], True),
        ([UNSTABLE.format(1), BROKEN], False),
        ([PASSES_ONCE], False),
        ([UNSTABLE.format(number) for number in range(4)], False),
    ],
    ids=["few unstable", "one broken", "not each time", "too many"],
)
def test_repeated_runs(tmp_path: Path, tests: list[str], forgiven: bool) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text(COUNT_RUNS + "\n".join(tests))
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist.plugin"}
    first = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=environment, check=False)
    assert first.returncode == repeated_runs.TESTS_FAILED
    assert repeated_runs.passes_alone(first.returncode, environment, root=tmp_path) is forgiven


def test_a_run_that_pytest_could_not_finish_is_not_repeated(tmp_path: Path) -> None:
    assert repeated_runs.passes_alone(3, dict(os.environ), root=tmp_path) is False
