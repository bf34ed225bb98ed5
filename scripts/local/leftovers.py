"""Finds and ends processes of a stack whose supervisord was killed, by a mark in their environment."""

import os
import signal
from pathlib import Path

from scripts.local.config import Stack
from scripts.local.waiting import wait_until

MARK = "PAYMENT_STACK"
END_SECONDS = 40.0


def find(stack: Stack) -> list[int]:
    """The process ids. Empty without /proc (macOS)."""
    wanted = os.fsencode(f"{MARK}={stack.local}")
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if int(process.name) != os.getpid() and wanted in _environment(process)
    ]


def end(stack: Stack) -> int:
    """Ends them, after a while by force. Returns how many there were."""
    found = find(stack)
    # SIGINT ends all programs in order; for PostgreSQL it is the only quick way.
    _signal(found, signal.SIGINT)
    if not wait_until(lambda: not find(stack), END_SECONDS):
        _signal(find(stack), signal.SIGKILL)
    return len(found)


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return []


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
