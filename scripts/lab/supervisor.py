"""One supervisord runs every program of the lab and starts again what ends by itself, as a host's init does."""

import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from scripts.lab.network import list_process_ids
from scripts.lab.plan import Folders, Host
from scripts.lab.processes import LabProgram
from scripts.local.errors import StackError, tail
from scripts.local.waiting import wait_until

# There is one lab on a machine, whichever checkout it was built from.
RUN = Path("/run/payment-lab")
SOCKET, PIDFILE = RUN / "supervisor.sock", RUN / "supervisord.pid"
START_SECONDS = 60.0
STOP_SECONDS = 120.0

_HEAD = """[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
logfile={logs}/supervisord.log
pidfile={pidfile}
minfds=4096
"""
_PROGRAM = """
[program:{name}]
command=/bin/sh {script}
autostart=false
autorestart=true
startsecs=3
startretries=100000
stopsignal={stop_signal}
stopwaitsecs=45
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=1
"""


def write_configuration(folders: Folders, programs: Sequence[LabProgram]) -> Path:
    """Returns its path."""
    text = _HEAD.format(socket=SOCKET, logs=folders.logs, pidfile=PIDFILE)
    for program in programs:
        text += _PROGRAM.format(
            name=program.name,
            script=_script(folders, program),
            stop_signal=program.stop_signal,
            logs=folders.logs,
        )
    file = folders.run / "supervisord.conf"
    file.write_text(text)
    return file


def write_scripts(folders: Folders, programs: Sequence[LabProgram]) -> None:
    """A program that is started again runs what its script says then, such as another release."""
    for program in programs:
        new = _script(folders, program).with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o700)
        new.write_text(program.to_script())
        new.rename(_script(folders, program))


def _script(folders: Folders, program: LabProgram) -> Path:
    return folders.run / f"{program.name}.sh"


def launch(configuration: Path) -> None:
    """Starts supervisord, which starts nothing yet."""
    RUN.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(configuration)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0 or not wait_until(is_running, START_SECONDS):
        raise StackError(f"supervisord did not start: {result.stderr.strip()}")


def is_running() -> bool:
    try:
        _rpc().getState()
    except (FileNotFoundError, ConnectionError):
        return False
    return True


def start(names: Iterable[str]) -> None:
    for name in names:
        _call("startProcess", name, False, ignore=Faults.ALREADY_STARTED)


def stop(names: Iterable[str], *, wait: bool = True) -> None:
    for name in names:
        _call("stopProcess", name, wait, ignore=Faults.NOT_RUNNING)


def list_states() -> dict[str, str]:
    """The state of each program, such as RUNNING."""
    return {each["name"]: each["statename"] for each in _rpc().getAllProcessInfo()}


def list_names(host: Host) -> list[str]:
    return [name for name in list_states() if name.startswith(f"{host.name}.")]


def kill_host(host: Host) -> None:
    """Power off: every process of the host dies at once and none is started again."""
    names = list_names(host)
    for number in list_process_ids(host):
        _kill(number)
    # supervisord has begun to start them again.
    stop(names, wait=False)
    deadline = time.monotonic() + STOP_SECONDS
    while numbers := list_process_ids(host):
        for number in numbers:
            _kill(number)
        if time.monotonic() > deadline:
            raise StackError(f"processes of {host.name} do not end: {numbers}")
        time.sleep(0.05)


def start_host(host: Host) -> None:
    start(list_names(host))


def require_running(names: Iterable[str], folders: Folders) -> None:
    """Raises `StackError` for the first program that gave up, with the end of its log."""
    states = list_states()
    for name in names:
        if states[name] in ("FATAL", "EXITED", "STOPPED"):
            raise StackError(f"{name} is {states[name]}:\n{tail(folders.logs / f'{name}.log')}")


def kill() -> None:
    """Ends supervisord, so that nothing is started again. Its programs live on."""
    try:
        _kill(int(PIDFILE.read_text()))
    except FileNotFoundError:
        return
    PIDFILE.unlink()
    SOCKET.unlink(missing_ok=True)


def _kill(number: int) -> None:
    try:
        os.kill(number, signal.SIGKILL)
    except ProcessLookupError:
        return


def _call(method: str, *arguments: Any, ignore: int) -> None:
    try:
        getattr(_rpc(), method)(*arguments)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != ignore:
            raise StackError(f"{method} {arguments[0]}: {fault.faultString}") from fault


def _rpc() -> Any:
    transport = SupervisorTransport(None, None, f"unix://{SOCKET}")
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor
