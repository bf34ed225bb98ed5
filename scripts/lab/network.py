"""Hosts as network namespaces: made, cut off and healed with `ip` and `nft`. Needs root.

    zone a          zone b          zone c
    lab-zone-a      lab-zone-b      lab-zone-c      bridges: the switch of each zone
         └───────────────┼───────────────┘          uplinks: cutting one isolates a zone, whose hosts keep each other
                      lab-core                      with the hosts outside all zones and this machine (10.77.0.1)

A cut cable is silent: no host learns that its peer has gone, exactly as when a switch dies.
"""

import re
import subprocess
from collections.abc import Iterable, Sequence

from scripts.lab.plan import HOSTS, OUTSIDE, PREFIX_LENGTH, ZONES, Host
from scripts.local.errors import StackError

CORE = "lab-core"
_TABLE = "lab"


def zone_bridge(zone: str) -> str:
    return f"lab-zone-{zone}"


def uplink(zone: str) -> str:
    """The zone's end of the cable between its switch and the core."""
    return f"lab-up-{zone}"


def build() -> None:
    """Makes all hosts and cables. Raises `StackError`, also when a lab exists already."""
    if list_namespaces():
        raise StackError("the lab exists already: ./scripts/lab.sh down removes it.")
    _add_bridge(CORE)
    _ip("address", "add", f"{OUTSIDE}/{PREFIX_LENGTH}", "dev", CORE)
    for zone in ZONES:
        _add_bridge(zone_bridge(zone))
        _ip("link", "add", uplink(zone), "type", "veth", "peer", "name", f"lab-core-{zone}")
        for device, bridge in ((uplink(zone), zone_bridge(zone)), (f"lab-core-{zone}", CORE)):
            plug_in(device, bridge)
    for host in HOSTS:
        _add_host(host)


def remove() -> None:
    """Removes what is left of a lab, whichever part of it exists."""
    for namespace in list_namespaces():
        _ip("netns", "delete", namespace)
    for device in _list_devices():
        # The other end of a cable goes with it.
        subprocess.run(["ip", "link", "delete", device], capture_output=True, check=False)


def list_namespaces() -> list[str]:
    """The namespaces of a lab on this machine."""
    lines = _ip("netns", "list").splitlines()
    return sorted(name for line in lines if (name := line.split()[0]).startswith("lab-"))


def list_process_ids(host: Host) -> list[int]:
    return [int(line) for line in _ip("netns", "pids", host.namespace).split()]


def cut_host(host: Host) -> None:
    """Pulls the host's cable."""
    _ip("link", "set", host.cable, "down")


def heal_host(host: Host) -> None:
    """Plugs the cable in, and forgets what the host may not talk to."""
    _ip("link", "set", host.cable, "up")
    # Without a table there is nothing to delete.
    _run_in(host, ["nft", "delete", "table", "inet", _TABLE], check=False)


def cut_between(host: Host, others: Iterable[Host]) -> None:
    """Silently drops every packet between this host and the others, in both directions."""
    addresses = ", ".join(other.address for other in others)
    rules = f"""
        table inet {_TABLE} {{
            chain received {{ type filter hook input priority 0; ip saddr {{ {addresses} }} drop; }}
            chain sent {{ type filter hook output priority 0; ip daddr {{ {addresses} }} drop; }}
        }}
    """
    _run_in(host, ["nft", "-f", "-"], text=rules)


def cut_zone(zone: str) -> None:
    """Pulls the uplink of a zone: its hosts reach each other and nobody else."""
    _ip("link", "set", uplink(zone), "down")


def heal_zone(zone: str) -> None:
    _ip("link", "set", uplink(zone), "up")


def plug_in(device: str, bridge: str) -> None:
    _ip("link", "set", device, "master", bridge)
    _ip("link", "set", device, "up")


def command_in(host: Host, command: Sequence[str], *, as_nobody: bool = False) -> list[str]:
    """The command as it runs on that host.

    PostgreSQL and PgBouncer refuse to run as root. `as_nobody` gives root another name for them, in a user namespace,
    so that they still reach the project's files wherever these are.
    """
    disguise = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"] if as_nobody else []
    return ["nsenter", f"--net=/run/netns/{host.namespace}", "--", *disguise, *command]


def _add_bridge(name: str) -> None:
    _ip("link", "add", name, "type", "bridge")
    _ip("link", "set", name, "up")


def _add_host(host: Host) -> None:
    _ip("netns", "add", host.namespace)
    _ip(
        *("link", "add", host.cable, "type", "veth"),
        *("peer", "name", "eth0", "netns", host.namespace),
    )
    plug_in(host.cable, CORE if host.zone is None else zone_bridge(host.zone))
    for arguments in (
        ("address", "add", f"{host.address}/{PREFIX_LENGTH}", "dev", "eth0"),
        ("link", "set", "eth0", "up"),
        ("link", "set", "lo", "up"),
    ):
        _ip("-n", host.namespace, *arguments)


def _list_devices() -> list[str]:
    lines = _ip("-o", "link", "show").splitlines()
    return re.findall(r"^\d+: (lab-[a-z0-9-]+)", "\n".join(lines), flags=re.MULTILINE)


def _run_in(host: Host, command: Sequence[str], *, text: str | None = None, check: bool = True) -> str:
    return _run(command_in(host, command), text=text, check=check)


def _ip(*arguments: str) -> str:
    return _run(["ip", *arguments])


def _run(command: Sequence[str], *, text: str | None = None, check: bool = True) -> str:
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if check and result.returncode != 0:
        raise StackError(f"`{' '.join(command)}` failed: {result.stderr.strip()}")
    return result.stdout
