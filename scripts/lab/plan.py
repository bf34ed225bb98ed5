"""The hosts of the lab: names, zones and addresses. Nothing here touches the machine."""

import enum
import os
from dataclasses import dataclass
from pathlib import Path

from scripts.local.config import ROOT

NETWORK = "10.77.0"
PREFIX_LENGTH = 24
# This machine's own address on the lab's network: from here come the load and the checks.
OUTSIDE = f"{NETWORK}.1"
ZONES = ("a", "b", "c")


class HostRole(enum.Enum):
    """What a host is for."""

    EDGE = "edge"  # the balancer before the gateways
    BANK = "bank"  # the sandbox of WeChat Pay, which has its own books
    DATABASE = "db"
    GATEWAY = "gateway"
    WORKER = "worker"
    CACHE = "redis"
    BROKER = "rabbit"


@dataclass(frozen=True, slots=True)
class Host:
    role: HostRole
    zone: str | None  # None: outside all zones, reachable while any zone is
    number: int

    @property
    def name(self) -> str:
        return self.role.value if self.zone is None else f"{self.role.value}-{self.zone}"

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    @property
    def namespace(self) -> str:
        return f"lab-{self.name}"

    @property
    def cable(self) -> str:
        """The end of its cable that is plugged into the switch. The kernel allows 15 characters."""
        return f"lab-{self.number}"


EDGE = Host(HostRole.EDGE, None, 2)
BANK = Host(HostRole.BANK, None, 3)
DATABASES = tuple(Host(HostRole.DATABASE, zone, 11 + at) for at, zone in enumerate(ZONES))
GATEWAYS = tuple(Host(HostRole.GATEWAY, zone, 21 + at) for at, zone in enumerate(ZONES[:2]))
WORKERS = tuple(Host(HostRole.WORKER, zone, 31 + at) for at, zone in enumerate(ZONES[:2]))
CACHES = tuple(Host(HostRole.CACHE, zone, 41 + at) for at, zone in enumerate(ZONES))
BROKERS = tuple(Host(HostRole.BROKER, zone, 51 + at) for at, zone in enumerate(ZONES))
HOSTS = (EDGE, BANK, *DATABASES, *GATEWAYS, *WORKERS, *CACHES, *BROKERS)
# Those with processes of the platform: each has a HAProxy and a PgBouncer of its own.
APPLICATION_HOSTS = (*GATEWAYS, *WORKERS)


class UnknownHost(Exception):
    """No host or zone has this name."""


def find_host(name: str) -> Host:
    """Raises `UnknownHost`."""
    for host in HOSTS:
        if host.name == name:
            return host
    raise UnknownHost(f"{name}: give one of {', '.join(host.name for host in HOSTS)}")


def list_zone(zone: str) -> tuple[Host, ...]:
    """The hosts of a zone. Raises `UnknownHost`."""
    found = tuple(host for host in HOSTS if host.zone == zone)
    if not found:
        raise UnknownHost(f"{zone}: give one of the zones {', '.join(ZONES)}")
    return found


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the lab keeps its things."""

    home: Path

    @classmethod
    def from_environment(cls) -> "Folders":
        return cls(Path(os.environ.get("LAB_DIR") or ROOT / ".local" / "lab").absolute())

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def results(self) -> Path:
        return self.home / "results"

    def of(self, host: Host) -> Path:
        return self.home / host.name
