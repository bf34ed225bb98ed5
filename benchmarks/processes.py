"""CPU time and memory of processes on this machine: the gateway, PostgreSQL's sessions, Redis."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from django.db import connection
from django_redis import get_redis_connection

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Positions in /proc/PID/stat after the name of the program.
PARENT, USER, SYSTEM, USER_OF_ENDED_CHILDREN, SYSTEM_OF_ENDED_CHILDREN = 1, 11, 12, 13, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """Seconds, or milliseconds for one request, of user and system time."""

    web: float
    postgresql: float
    redis: float
    client: float

    @property
    def total(self) -> float:
        return self.web + self.postgresql + self.redis + self.client


def read_cpu_of_family(pid: int) -> float:
    """Seconds of a process and of its children, ended ones included."""
    ended = _read_seconds(pid, USER_OF_ENDED_CHILDREN, SYSTEM_OF_ENDED_CHILDREN)
    return ended + sum(_read_seconds(each, USER, SYSTEM) for each in [pid, *list_children(pid)])


def read_memory_mb(pid: int) -> float:
    """Of a process and its children; what they share is counted once."""
    total = 0
    for each in [pid, *list_children(pid)]:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{each}/smaps_rollup").read_text(), re.MULTILINE)
        total += int(found.group(1)) if found else 0
    return total / 1024


def find_postgresql() -> int:
    """The process id of the server that Django is connected to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (session,) = cursor.fetchone()
    return int(_read_stat(session)[PARENT])


def find_redis() -> int:
    return int(get_redis_connection("default").info("server")["process_id"])


def list_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _read_seconds(pid: int, *positions: int) -> float:
    fields = _read_stat(pid)
    return sum(int(fields[position]) for position in positions) / TICKS_PER_SECOND


def _read_stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
