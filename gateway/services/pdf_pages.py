"""Counts the pages of a PDF document in a process with limits: a document may be made to exhaust its reader."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from common.errors import ServiceUnavailable
from common.external_calls import release_while_waiting

CPU_SECONDS: Final = 2
MEMORY_BYTES: Final = 256 * 2**20
# Includes waiting for a CPU: the limit of the CPU time ends a process that works.
TIMEOUT_SECONDS: Final = 30
# Documents that one process of the platform has read at once, at most: their memory adds up.
PLACES: Final = threading.BoundedSemaphore(2)
_PROGRAM: Final = Path(__file__).with_name("pdf_page_counter.py")


def count_pdf_pages(
    content: bytes, *, cpu_seconds: int = CPU_SECONDS, memory_bytes: int = MEMORY_BYTES
) -> int | None:
    """Returns None for a document that cannot be read within the limits. Raises `ServiceUnavailable` when too many are
    being read. No transaction may be open."""
    if not PLACES.acquire(blocking=False):
        raise ServiceUnavailable(headers={"Retry-After": "2"})
    try:
        with release_while_waiting():
            return _run_program(content, cpu_seconds, memory_bytes)
    finally:
        PLACES.release()


def _run_program(content: bytes, cpu_seconds: int, memory_bytes: int) -> int | None:
    try:
        # -I: neither the working directory nor the environment says what is imported.
        done = subprocess.run(  # noqa: S603 # our own program; the document is its input only
            [sys.executable, "-I", str(_PROGRAM), str(cpu_seconds), str(memory_bytes)],
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.isdigit() else None
