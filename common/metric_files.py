"""What all processes of this host have counted, dead ones included, for one scrape.

prometheus_client has each process write files of its own. Left alone they pile up with every restart, and the gauges of
the dead stay in the sum. So every scrape first moves the files of dead processes away:

    <directory>/counter_<pid>.db …        the living
    <directory>/dead/<n>/counter_….db …   the dead: their counters go on counting, merged when there are many

Only the highest <n> counts. A merge writes a whole new one and then shows it by a rename, so that a process
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
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

MERGE_AT = 24  # files; a scrape reads every one


class HostMetrics(Collector):
    def collect(self) -> Iterable[Metric]:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        return collect(Path(directory)) if directory else REGISTRY.collect()


def serve(port: int) -> None:
    """Answers scrapes in a thread of this process."""
    registry = CollectorRegistry()
    registry.register(HostMetrics())
    start_http_server(port, registry=registry)


def collect(directory: Path) -> Iterable[Metric]:
    with _alone(directory):
        dead = _current(directory / "dead")
        for file in directory.glob("*.db"):
            if not _lives(_pid(file)):
                _bury(file, dead)
        buried = list(dead.glob("*.db"))
        if len(buried) > MERGE_AT:
            buried = _merge(dead, buried)
        files = [*filter(_begun, directory.glob("*.db")), *buried]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(map(str, files))
        return metrics


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One scrape at a time, in whichever process it arrives."""
    with (directory / "scrape.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _current(graves: Path) -> Path:
    """The highest generation. Lower ones are left over from a merge that was killed before it could remove them."""
    *outdated, current = sorted(graves.glob("[0-9]*"), key=lambda path: int(path.name)) or [graves / "0"]
    for path in outdated:
        shutil.rmtree(path)
    current.mkdir(parents=True, exist_ok=True)
    return current


def _pid(file: Path) -> int:
    """`counter_17.db`, `gauge_livesum_17.db`"""
    return int(file.stem.rpartition("_")[2])


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _begun(file: Path) -> bool:
    """A process can die, or be looked at, between making its file and writing the first byte."""
    return file.stat().st_size > 0


def _bury(file: Path, dead: Path) -> None:
    if file.stem.startswith("gauge_live") or not _begun(file):
        file.unlink()
    else:
        # Process ids come again.
        file.rename(dead / f"{file.stem}-{time.time_ns()}.db")


def _merge(dead: Path, buried: list[Path]) -> list[Path]:
    unfinished, merged = dead.parent / "unfinished", dead.parent / str(int(dead.name) + 1)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for kind in {file.stem.rpartition("_")[0] for file in buried}:
        whole = MmapedDict(str(unfinished / f"{kind}_0.db"))
        for file in buried:
            if file.stem.rpartition("_")[0] == kind:
                _add(whole, file, is_gauge=kind.startswith("gauge"))
        whole.close()
    unfinished.rename(merged)
    shutil.rmtree(dead)
    return list(merged.glob("*.db"))


def _add(whole: MmapedDict, file: Path, *, is_gauge: bool) -> None:
    """Counts add up; of a gauge, the last value stays."""
    for key, value, moment, _position in MmapedDict.read_all_values_from_file(str(file)):
        known, known_moment = whole.read_value(key)
        if not is_gauge:
            whole.write_value(key, known + value, 0.0)
        elif moment >= known_moment:
            whole.write_value(key, value, moment)
