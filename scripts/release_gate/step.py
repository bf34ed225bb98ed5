"""What the steps of the gate share: how one fails, and where its files and tools are."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts.local.config import ROOT

# Reports stay here until the next run: the list of packages, advisories, findings, mutants.
REPORTS = ROOT / ".local" / "release-gate"
# Virtual environments: the tools of the gate, and exactly what is deployed.
TOOLS, DEPLOYED = REPORTS / "tools", REPORTS / "deployed"


class GateStepFailed(Exception):
    """The text says what was found. It stops a release."""


class NotChecked(Exception):
    """The step could not look, and the text says why. It stops a release as well, and no rehearsal."""


def ensure_environment(directory: Path, requirements: str) -> None:
    """Installs the requirements into a virtual environment, unless it has them. Raises `NotChecked`."""
    result = subprocess.run(
        [sys.executable, "-m", "scripts.local.venv", requirements],
        cwd=ROOT,
        env={**os.environ, "VENV_DIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise NotChecked(f"{requirements} cannot be installed: {result.stdout.strip()[-1000:]}")


def run(
    *command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Raises `NotChecked` where there is no such program."""
    try:
        return subprocess.run(
            [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise NotChecked(f"{command[0]} is not installed") from error


def tracked_files() -> list[str]:
    """The files of the repository, in the state of the work tree."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed.returncode != 0:
        raise GateStepFailed(f"git cannot list the files: {listed.stderr.strip()}")
    return sorted(name for name in listed.stdout.split("\0") if (ROOT / name).is_file())
