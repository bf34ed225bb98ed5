"""A copy of the project in a directory of its own, which tests run through its scripts as a person would."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from scripts.local import leftovers
from scripts.local.config import ROOT, Stack
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_SECONDS

# Bytecode is copied: otherwise each process of a stack would compile the whole project at its start.
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".local", "logs", ".*_cache", ".hypothesis", "tests", "benchmarks", "*.pyc.*"
)
# The variables of a login shell. Those of the test run are left out: its DB_HOST would mean "use that server".
PORTS = ("PORT", "DB_PORT", "REDIS_PORT", "WECHAT_SANDBOX_PORT", "ALIPAY_SANDBOX_PORT")
# A script starts one process after another, and waits for each.
SCRIPT_SECONDS = 4 * PATIENCE_SECONDS
KEPT = ("PATH", "HOME", "LANG", "PIP_FIND_LINKS", "PIP_INDEX_URL")


class Installation:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {name: free_port() for name in PORTS}
        shutil.copytree(ROOT, directory, ignore=NOT_COPIED)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['PORT']}"

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        ports = {name: str(port) for name, port in self.ports.items()}
        # The packages of this test run, so that none are installed again.
        return {**kept, **ports, "VENV_DIR": sys.prefix, "READY_SECONDS": str(PATIENCE_SECONDS), **extra}

    def run(self, script: str, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.directory / "scripts" / script, *arguments],
            cwd="/",
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
        )

    def begin(self, script: str, **extra: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([self.directory / "scripts" / script], cwd="/", env=self.environment(**extra))

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=PATIENCE_SECONDS) as response:
            return response.read().decode()

    def kill_supervisor(self) -> None:
        pid = int((self.directory / ".local" / "run" / "supervisord.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        local, logs = self.directory / ".local", self.directory / "logs"
        stack = Stack.from_environment()
        return leftovers.find(Stack(local, logs, stack.database, stack.redis, stack.web))

    def remove(self) -> None:
        self.run("stop-all-services.sh")
        for server in (
            "postgres",
            "redis",
        ):  # the data is in another directory if the servers' account cannot reach this one
            home = self.directory / ".local" / server
            if home.is_symlink():
                shutil.rmtree(home.resolve(), ignore_errors=True)
        shutil.rmtree(self.directory)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
