"""Controls the supervisord of the local stack's processes."""

import hashlib
import os
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from scripts.local.config import ROOT, Stack
from scripts.local.errors import StackError, tail
from scripts.local.waiting import wait_until

CONFIGURATION = ROOT / "deploy" / "supervisord.conf"
SOCKET_PATH_LIMIT = 90  # the kernel allows 107 bytes, and supervisord appends its pid while it binds
SHUTDOWN_SECONDS = 180.0


@dataclass(frozen=True)
class Program:
    name: str
    state: str
    pid: int
    log: Path

    @property
    def is_up(self) -> bool:
        return self.state == "RUNNING"

    @property
    def is_failing(self) -> bool:
        return self.state not in ("STARTING", "RUNNING")


class Supervisor:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.socket = _socket_path(stack)

    def is_running(self) -> bool:
        try:
            self._rpc().getState()
        except (FileNotFoundError, ConnectionError):  # no socket, or nobody listens
            return False
        except PermissionError as error:
            raise StackError(
                f"the stack in {self.stack.local} was started by another user, who alone can "
                "see and stop it: become that user, or set LOCAL_DIR to a directory of your own."
            ) from error
        return True

    def launch(self, environment: dict[str, str]) -> None:
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(CONFIGURATION)]
        result = subprocess.run(
            command,
            env={**environment, "STACK_SOCKET": str(self.socket)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0 or not wait_until(self.is_running, 60):
            log = self.stack.logs / "supervisord.log"
            raise StackError(f"supervisord did not start: {result.stderr.strip()}\n{tail(log)}")

    def programs(self) -> dict[str, Program]:
        return {
            info["name"]: Program(info["name"], info["statename"], info["pid"], Path(info["logfile"]))
            for info in self._rpc().getAllProcessInfo()
        }

    def start(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                self._rpc().startProcess(name, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != Faults.ALREADY_STARTED:
                    raise StackError(f"{name} cannot be started: {fault.faultString}") from fault

    def require_alive(self, names: Iterable[str]) -> None:
        """Raises `StackError` for the first dead program, with the end of its log."""
        programs = self.programs()
        for program in (programs[name] for name in names):
            if program.is_failing:
                raise StackError(f"{program.name} died ({program.log}):\n{tail(program.log)}")

    def shutdown(self) -> None:
        """Stops every process and supervisord, and waits until they have ended."""
        try:
            pid = self._rpc().getPID()
            self._rpc().shutdown()
        except (FileNotFoundError, ConnectionError):
            return
        if not wait_until(lambda: not _exists(pid), SHUTDOWN_SECONDS):
            raise StackError(
                f"supervisord (pid {pid}) does not end; see {self.stack.logs / 'supervisord.log'}"
            )

    def _rpc(self) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor


def _socket_path(stack: Stack) -> Path:
    path = stack.run / "supervisor.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(stack.local)).hexdigest()[:12]
    return Path("/tmp") / f"payment-{os.getuid()}-{name}" / "supervisor.sock"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
