"""Describes the machine and the commit that a benchmark runs on."""

import datetime as dt
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    cpu: str
    cores: int
    memory_gb: float
    kernel: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When and from which commit a benchmark ran, and the load of the machine before it began."""

    measured_at: str
    commit: str
    load_before: float


def describe_machine() -> Machine:
    memory_kb = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return Machine(
        cpu=model.group(1).strip() if model else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(int(memory_kb.group(1)) / 2**20, 1) if memory_kb else 0.0,
        kernel=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
    )


def describe_moment() -> Moment:
    return Moment(
        measured_at=f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC",
        commit=_read_commit(),
        load_before=round(os.getloadavg()[0], 2),
    )


def _read_commit() -> str:
    """The short id, and whether files differ from it; empty outside of a repository."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip()
