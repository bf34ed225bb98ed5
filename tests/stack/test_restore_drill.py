"""The restore drill passes, and fails when the reconciliation is left out. Collected only with --long."""

import os
import re
import subprocess

import pytest

from scripts.local.config import ROOT

pytestmark = pytest.mark.stack

SECONDS = 10  # of load, three times
LOST = "answered and now unknown or different"
DIFFERENT = "payments that differ from the bank"


def _run(*options: str) -> "subprocess.CompletedProcess[str]":
    """Runs the drill without the servers of the tests, because it starts its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VENV_DIR") if name in os.environ}
    command = ["./scripts/restore-drill.sh", "--seconds", str(SECONDS), *options]
    return subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True)


def test_it_passes() -> None:
    result = _run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert _measured(result.stdout, LOST) == 0
    assert "The drill has passed." in result.stdout


def test_it_fails_without_the_reconciliation() -> None:
    """The drill fails only because of the payments that are lost without the reconciliation."""
    result = _run("--without-reconciliation")
    assert result.returncode == 1, result.stdout + result.stderr
    assert _measured(result.stdout, LOST) > 0
    assert _measured(result.stdout, DIFFERENT) > 0
    assert f"FAILED {LOST}" in result.stdout
    assert "did not come to rest" not in result.stdout
    assert "The drill has failed." in result.stdout


def _measured(output: str, name: str) -> int:
    found = re.search(rf"^\| {name} \| (\d+)", output, re.MULTILINE)
    assert found is not None, output
    return int(found[1])
