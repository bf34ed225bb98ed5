"""Builds the lab and removes it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from scripts.lab import database, network, supervisor
from scripts.lab.engines import GATEWAY_PORT
from scripts.lab.plan import DATABASES, HOSTS, Folders, Host, HostRole
from scripts.lab.processes import (
    RABBITMQ_SERVER,
    list_engines,
    list_platform,
    list_programs,
    write_configurations,
)
from scripts.lab.settings import PUBLIC_URL, Secrets, platform_settings, read_bank_settings
from scripts.local.config import ROOT
from scripts.local.errors import StackError, tail
from scripts.local.waiting import wait_until

DOWN_SECONDS = 60.0
READY_SECONDS = 600.0  # a machine that does other things too
# The disk of a database is memory, so that it is small, can be filled, and does not slow down the others.
DISK_SIZE = "900m"
NEEDED = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "etcd": "etcd-server",
    "/usr/sbin/haproxy": "haproxy",
    "/usr/sbin/pgbouncer": "pgbouncer",
    RABBITMQ_SERVER: "rabbitmq-server",
}


def up(folders: Folders) -> None:
    """Raises `StackError`; what was built until then is removed."""
    _require_tools()
    if network.list_namespaces():
        raise StackError("the lab exists already: ./scripts/lab.sh down removes it.")
    try:
        _build(folders)
    except BaseException:
        down(folders)
        raise


def down(folders: Folders) -> None:
    """Removes every process, device, namespace and disk of the lab. Logs and results stay. Raises `StackError`."""
    supervisor.kill()
    if not wait_until(_kill_processes, DOWN_SECONDS):
        raise StackError(f"processes of the lab do not end: {_list_processes()}")
    network.remove()
    for host in HOSTS:
        folder = folders.of(host)
        if folder.is_mount():
            _run(["umount", str(folder)])
        shutil.rmtree(folder, ignore_errors=True)


def manage(
    folders: Folders,
    *command: str,
    code: Path = ROOT,
    host: Host | None = None,
    check: bool = True,
    settings: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs a command of the platform on this machine or on a host without a pooler. It reaches the databases directly.

    Raises `StackError`.
    """
    usual = platform_settings(folders, Secrets.load(folders))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    arguments = [sys.executable, "manage.py", *command]
    result = subprocess.run(
        arguments if host is None else network.command_in(host, arguments),
        cwd=code,
        env={**kept, **usual, "LOG_LEVEL": "WARNING", **(settings or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and result.returncode != 0:
        raise StackError(f"manage.py {command[0]} failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
    return result


def wait_until_ready(seconds: float = READY_SECONDS) -> None:
    """The database is whole and the edge leads to a gateway that takes payments. Raises `StackError`."""
    database.wait_until_whole(seconds)
    if not wait_until(is_ready, seconds, interval=0.5):
        raise StackError(f"no gateway behind {PUBLIC_URL} is ready after {seconds:.0f} s")


def is_ready() -> bool:
    return _answers(PUBLIC_URL)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_until_host_ready(host: Host) -> None:
    """Its programs run for long enough to count as running, and a gateway takes payments. Raises `StackError`."""
    names = supervisor.list_names(host)

    def ready() -> bool:
        states = supervisor.list_states()
        all_run = all(states[name] == "RUNNING" for name in names)
        return all_run and (
            host.role is not HostRole.GATEWAY or _answers(f"http://{host.address}:{GATEWAY_PORT}")
        )

    if not wait_until(ready, READY_SECONDS, interval=0.5):
        raise StackError(f"{host.name} is not ready after {READY_SECONDS:.0f} s: {supervisor.list_states()}")


def load_merchant(folders: Folders) -> dict[str, str]:
    """The key and the secret with which the load signs."""
    found: dict[str, str] = json.loads((folders.home / "merchant.json").read_text())
    return found


def _build(folders: Folders) -> None:
    begun = time.monotonic()
    network.build()
    _make_folders(folders)
    lab_secrets = Secrets.make(folders)
    write_configurations(folders, lab_secrets)
    supervisor.write_scripts(folders, list_programs(folders, lab_secrets))
    supervisor.launch(supervisor.write_configuration(folders, list_programs(folders, lab_secrets)))
    _say("starting etcd, Patroni, Redis, RabbitMQ, HAProxy and PgBouncer …")
    supervisor.start(program.name for program in list_engines(folders))
    database.wait_until_whole()
    database.prepare(lab_secrets.passwords)
    if not wait_until(lambda: bool(read_bank_settings(folders)), READY_SECONDS):
        raise StackError(f"the sandbox does not start:\n{tail(folders.logs / 'bank.wechat.log')}")
    _say("preparing the platform …")
    manage(folders, "migrate", "--no-input")
    manage(folders, "collectstatic", "--no-input")
    _create_merchant(folders)
    platform = list_platform(folders, lab_secrets)
    supervisor.write_scripts(folders, platform)
    _say("starting the platform …")
    supervisor.start(program.name for program in platform)
    wait_until_ready()
    _say(f"the lab is ready after {time.monotonic() - begun:.0f} s: {PUBLIC_URL}")


def _make_folders(folders: Folders) -> None:
    for folder in (
        folders.logs,
        folders.run,
        folders.results,
        folders.home / "media",
        folders.home / "static",
    ):
        folder.mkdir(parents=True, exist_ok=True)
    for log in folders.logs.iterdir():
        log.unlink()
    for host in HOSTS:
        (folders.of(host) / "metrics").mkdir(parents=True)
    for host in DATABASES:
        folder = folders.of(host)
        _run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE},mode=0700", f"lab-{host.name}", str(folder)])


def _create_merchant(folders: Folders) -> None:
    printed = manage(folders, "create_merchant", "--name", "Lab", "--email", "lab@example.com").stdout
    found = dict(re.findall(r"^Test (key|secret)\s+(\S+)$", printed, flags=re.MULTILINE))
    file = folders.home / "merchant.json"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(found))


def _kill_processes() -> bool:
    """Whether none is left."""
    found = _list_processes()
    for number in found:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return not found


def _list_processes() -> list[int]:
    """Processes that live in a namespace of the lab, and slow cables."""
    in_hosts = [
        number for host in HOSTS if _exists(host.namespace) for number in network.list_process_ids(host)
    ]
    cables = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if b"scripts.lab.slow_link" in _read_command(process)
    ]
    return in_hosts + cables


def _exists(namespace: str) -> bool:
    return Path("/run/netns", namespace).exists()


def _read_command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _require_tools() -> None:
    if os.getuid() != 0:
        raise StackError("the lab makes network namespaces and disks: run it as root.")
    missing = {package for tool, package in NEEDED.items() if shutil.which(tool) is None}
    if missing:
        raise StackError(f"Debian packages are missing: apt-get install {' '.join(sorted(missing))}")


def _run(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise StackError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")


def _say(text: str) -> None:
    print(text, flush=True)
