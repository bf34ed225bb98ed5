"""Reads what the kernel knows of a process."""

from pathlib import Path


def is_alive(pid: int) -> bool:
    return read_parent(pid) is not None


def read_parent(pid: int) -> int | None:
    """Returns the parent's id. None when the process has ended, also when only its exit status is left."""
    fields = _read(pid)
    return None if fields is None else int(fields[1])


def read_start(pid: int) -> int | None:
    """Returns the start of the process, in clock ticks since the start of the machine. With the process id, it names
    one process for good. None when it has ended."""
    fields = _read(pid)
    return None if fields is None else int(fields[19])


def _read(pid: int) -> list[str] | None:
    """Returns the fields of `/proc/<pid>/stat` from the third one, which is the state."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields
