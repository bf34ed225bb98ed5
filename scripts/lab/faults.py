"""What can be done to the lab, and undone."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.lab import network, supervisor
from scripts.lab.plan import HOSTS, Folders, Host, HostRole
from scripts.lab.slow_link import READY
from scripts.local.errors import StackError

SLOW_SECONDS = 0.1  # each way: a round trip takes 200 ms more
_FILLER = "filler"


def kill(host: Host) -> None:
    """Power off."""
    supervisor.kill_host(host)


def revive(host: Host) -> None:
    supervisor.start_host(host)


def cut(host: Host) -> None:
    network.cut_host(host)


def cut_from(host: Host, role: HostRole) -> None:
    """The host reaches everybody but those with this role."""
    network.cut_between(host, [each for each in HOSTS if each.role == role])


def heal(host: Host) -> None:
    network.heal_host(host)


def cut_zone(zone: str) -> None:
    network.cut_zone(zone)


def heal_zone(zone: str) -> None:
    """Also a slow uplink."""
    for process in _find_slow_links(zone):
        os.kill(process, signal.SIGTERM)
    network.heal_zone(zone)


def slow_zone(zone: str, seconds: float = SLOW_SECONDS) -> None:
    """Replaces the uplink of the zone by one that delays every frame by so many seconds in each direction."""
    left, right = f"lab-slow-{zone}", f"lab-slow-{zone}2"
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.lab.slow_link", left, right, str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != READY:
        raise StackError("the slow link does not start: it needs /dev/net/tun")
    network.cut_zone(zone)  # two ways between two switches would be a loop
    network.plug_in(left, network.zone_bridge(zone))
    network.plug_in(right, network.CORE)


def fill_disk(folders: Folders, host: Host) -> None:
    """Leaves no byte free where PostgreSQL and etcd of that host write."""
    filler = folders.of(host) / _FILLER
    with filler.open("wb", buffering=0) as file:
        block = bytes(2**20)
        while block:
            try:
                file.write(block)
            except OSError:  # full: smaller blocks still fit
                block = block[: len(block) // 2]


def free_disk(folders: Folders, host: Host) -> None:
    (folders.of(host) / _FILLER).unlink(missing_ok=True)


def kill_all(hosts: Iterable[Host]) -> None:
    for host in hosts:
        kill(host)


def heal_everything(folders: Folders, hosts: Iterable[Host], zones: Iterable[str]) -> None:
    """Whatever was done to the lab is undone: every cable is in, every program runs."""
    for zone in zones:
        heal_zone(zone)
    for host in hosts:
        heal(host)
        if host.role is HostRole.DATABASE:
            free_disk(folders, host)
        revive(host)


def _find_slow_links(zone: str) -> list[int]:
    mark = f"lab-slow-{zone}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if b"scripts.lab.slow_link" in command and mark in command.split(b"\0"):
            found.append(int(process.name))
    return found
