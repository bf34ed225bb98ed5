"""Adds up the metrics of all processes of this host, dead ones included, for one scrape.

prometheus_client has each process write files of its own. Without care they pile up with every restart, and a scrape
reads them all (ADR 27). So each scrape first moves the files of dead processes:

    <directory>/counter_<pid>.db …        of living processes
    <directory>/dead/<n>/counter_….db …   of dead processes: their counters stay in the sum, merged when there are many

Only the highest <n> counts. A merge writes a whole new one and then publishes it by a rename, so that a process
killed at any point of it changes no count.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Metric, start_http_server
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

MERGE_AT = 24  # files of dead processes


class HostMetrics(Collector):
    def collect(self) -> Iterable[Metric]:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        return collect(Path(directory)) if directory else REGISTRY.collect()


def serve(port: int) -> None:
    """Serves `/metrics` in a thread of this process."""
    registry = CollectorRegistry()
    registry.register(HostMetrics())
    start_http_server(port, registry=registry)


def collect(directory: Path) -> Iterable[Metric]:
    with _lock(directory):
        dead = _current_generation(directory / "dead")
        for file in directory.glob("*.db"):
            if not _is_alive(_pid_of(file)):
                _retire(file, dead)
        retired = list(dead.glob("*.db"))
        if len(retired) > MERGE_AT:
            retired = _merge(dead, retired)
        files = [*filter(_has_data, directory.glob("*.db")), *retired]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(map(str, files))
        return metrics


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    """Serializes the scrapes of all processes."""
    with (directory / "scrape.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _current_generation(dead: Path) -> Path:
    """The highest generation. Removes lower ones, which a killed merge has left."""
    *outdated, current = sorted(dead.glob("[0-9]*"), key=lambda path: int(path.name)) or [dead / "0"]
    for path in outdated:
        shutil.rmtree(path)
    current.mkdir(parents=True, exist_ok=True)
    return current


def _pid_of(file: Path) -> int:
    """`counter_17.db`, `gauge_livesum_17.db`"""
    return int(file.stem.rpartition("_")[2])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _has_data(file: Path) -> bool:
    """Empty files exist: between the moment when a process makes its file and its first write."""
    return file.stat().st_size > 0


def _retire(file: Path, dead: Path) -> None:
    """Removes the gauges of a dead process, and moves its counters to `dead`."""
    mark_process_dead(_pid_of(file), str(file.parent))
    if not file.exists():
        return
    if _has_data(file):
        # The time makes the name unique: process ids are used again.
        file.rename(dead / f"{file.stem}-{time.time_ns()}.db")
    else:
        file.unlink()


def _merge(dead: Path, retired: list[Path]) -> list[Path]:
    unfinished, merged = dead.parent / "unfinished", dead.parent / str(int(dead.name) + 1)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for kind in {file.stem.rpartition("_")[0] for file in retired}:
        merged_file = MmapedDict(str(unfinished / f"{kind}_0.db"))
        for file in retired:
            if file.stem.rpartition("_")[0] == kind:
                _add(merged_file, file, is_gauge=kind.startswith("gauge"))
        merged_file.close()
    unfinished.rename(merged)
    shutil.rmtree(dead)
    return list(merged.glob("*.db"))


def _add(target: MmapedDict, file: Path, *, is_gauge: bool) -> None:
    """Adds the values of `file` to `target`. Counts add up; of a gauge, the latest value stays."""
    for key, value, timestamp, _position in MmapedDict.read_all_values_from_file(str(file)):
        current, current_timestamp = target.read_value(key)
        if not is_gauge:
            target.write_value(key, current + value, 0.0)
        elif timestamp >= current_timestamp:
            target.write_value(key, value, timestamp)
