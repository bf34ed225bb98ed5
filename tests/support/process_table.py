"""What the kernel says of a process."""

from pathlib import Path


def is_alive(pid: int) -> bool:
    return read_parent(pid) is not None


def read_parent(pid: int) -> int | None:
    """None when the process is gone, also when only its exit status is left."""
    fields = _read(pid)
    return None if fields is None else int(fields[1])


def read_start(pid: int) -> int | None:
    """When the process began, in ticks since the machine did: with its number, the name of one process for ever. None
    when it is gone."""
    fields = _read(pid)
    return None if fields is None else int(fields[19])


def _read(pid: int) -> list[str] | None:
    """The fields of `/proc/<pid>/stat` from the third one on, which is the state."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields
