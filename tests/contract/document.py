"""The OpenAPI document as it is served, and the tools that read it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.test import Client

NPM = Path(__file__).with_name("npm")
# Switches off telemetry and update checks of the tools.
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def document() -> dict[str, Any]:
    headers = {"Accept-Language": "en", "Accept": "application/vnd.oai.openapi+json"}
    answer = Client().get("/api/schema", headers=headers)
    assert answer.status_code == 200
    found: dict[str, Any] = json.loads(answer.content)
    return found


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Runs a tool that must succeed, and returns its output."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **QUIET, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def node_tool(name: str) -> list[str | Path]:
    """The command of a tool of tests/contract/npm, which scripts/test.sh installs, with the Node of the virtual
    environment."""
    return [Path(sys.executable).with_name("node"), NPM / "node_modules" / ".bin" / name]
