"""The known vulnerabilities of what is installed."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.local.config import ROOT
from scripts.release_gate import step
from scripts.release_gate.step import GateStepFailed, NotChecked

NO_ADVISORIES = "not checked: no advisories reachable"


def find_vulnerabilities() -> str:
    """Asks for the advisories of all packages that are deployed, or that build and test what is deployed."""
    step.ensure_environment(step.DEPLOYED, "requirements.txt")
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    return audit(
        step.TOOLS / "bin" / "pip-audit", (step.DEPLOYED, Path(sys.prefix), step.TOOLS), step.REPORTS
    )


def audit(program: Path, environments: Sequence[Path], reports: Path) -> str:
    """Runs pip-audit on virtual environments. Raises `NotChecked` unless it got an answer for every package."""
    _require_an_answer(program, reports)
    found: list[str] = []
    audited = 0
    for environment in environments:
        packages = _ask(program, "--path", *environment.glob("lib/python3*/site-packages"))
        audited += len(packages)
        found += [
            f"{package['name']} {package['version']}: {', '.join(each['id'] for each in package['vulns'])}"
            for package in packages
            if package.get("vulns")
        ]
        unknown = [f"{each['name']} ({each['skip_reason']})" for each in packages if "skip_reason" in each]
        if unknown:
            raise NotChecked(f"{NO_ADVISORIES} for {'; '.join(unknown)}")
    if found:
        raise GateStepFailed("; ".join(sorted(set(found))))
    return f"{audited} packages without a known vulnerability"


def _require_an_answer(program: Path, reports: Path) -> None:
    """One question first. An index without advisories answers that it knows no package, which is no good news."""
    one = reports / "one-requirement.txt"
    one.write_text(f"django=={_version_of_django()}\n")
    (package,) = _ask(program, "--requirement", one, "--no-deps", "--disable-pip")
    if "skip_reason" in package:
        raise NotChecked(f"{NO_ADVISORIES}: {package['skip_reason']}")


def _version_of_django() -> str:
    (pin,) = re.findall(r"^django==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    return str(pin)


def _ask(program: Path, *what: str | Path) -> list[dict[str, Any]]:
    asked = step.run(program, "--format", "json", "--progress-spinner", "off", *what)
    if not asked.stdout.startswith("{"):
        lines = asked.stderr.strip().splitlines() or ["pip-audit printed nothing"]
        raise NotChecked(f"{NO_ADVISORIES}: {lines[-1][:300]}")
    packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    return packages
