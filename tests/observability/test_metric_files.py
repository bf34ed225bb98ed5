"""A scrape adds up the counters of all processes, dead ones included, and the gauges of living ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Metric

from common import metric_files
from scripts.local.config import ROOT

COUNTING_PROGRAM = """
import sys
from prometheus_client import Counter, Gauge, Histogram
Counter("jobs", "Jobs", ["kind"]).labels("a").inc(3)
Histogram("seconds", "Seconds", buckets=(1, 2)).observe(1.5)
Gauge("open", "Open", multiprocess_mode="livesum").set(5)
Gauge("latest", "Latest", multiprocess_mode="mostrecent").set(float(sys.argv[1]))
print("counted", flush=True)
sys.stdin.read()
"""


class CountingProcess:
    """A process with metrics, which lives until it is killed."""

    def __init__(self, directory: Path, latest: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", COUNTING_PROGRAM, str(latest)],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"counted\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def scrape(directory: Path) -> dict[str, float]:
    metrics: list[Metric] = list(metric_files.collect(directory))
    return {
        sample.name + (json.dumps(sample.labels) if "le" in sample.labels else ""): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_counters_of_dead_processes_stay_and_gauges_go(tmp_path: Path) -> None:
    first, second = CountingProcess(tmp_path, 1), CountingProcess(tmp_path, 2)
    both = scrape(tmp_path)
    assert (both["jobs_total"], both["seconds_count"], both["open"], both["latest"]) == (6, 2, 10, 2)
    second.kill()
    one = scrape(tmp_path)
    assert (one["jobs_total"], one["seconds_count"], one["open"], one["latest"]) == (6, 2, 5, 2)
    first.kill()
    assert "open" not in scrape(tmp_path)
    assert list(tmp_path.glob("*.db")) == [], "files of dead processes are moved away"


def test_many_restarts_leave_few_files_and_every_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_files, "MERGE_AT", 4)
    for number in range(1, 5):
        CountingProcess(tmp_path, number).kill()
        found = scrape(tmp_path)
        assert (found["jobs_total"], found["seconds_sum"], found["latest"]) == (
            3 * number,
            1.5 * number,
            number,
        )
        assert found['seconds_bucket{"le": "2.0"}'] == number
    assert len(list(tmp_path.rglob("*.db"))) <= metric_files.MERGE_AT + 3


@pytest.mark.parametrize("dies_at", ["before", "after"])
def test_a_merge_that_is_killed_changes_no_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    """The process dies just before the new generation is published, or after that and before the old one is
    removed."""
    monkeypatch.setattr(metric_files, "MERGE_AT", 2)
    CountingProcess(tmp_path, 1).kill()

    class Killed(Exception):
        pass

    def raise_killed(*_arguments: object, **_options: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if dies_at == "before":
            patched.setattr(Path, "rename", _rename_that_raises(raise_killed))
        else:
            patched.setattr(shutil, "rmtree", lambda path, **options: None if options else raise_killed())
        with pytest.raises(Killed):
            scrape(tmp_path)
    assert scrape(tmp_path)["jobs_total"] == 3
    assert scrape(tmp_path)["jobs_total"] == 3


def _rename_that_raises(raise_killed):  # type: ignore[no-untyped-def]
    rename = Path.rename
    return lambda path, target: raise_killed() if path.name == "unfinished" else rename(path, target)


def test_a_process_that_died_before_its_first_write_is_skipped(tmp_path: Path) -> None:
    CountingProcess(tmp_path, 1).kill()
    (tmp_path / "counter_4194303.db").touch()
    (tmp_path / f"histogram_{os.getpid()}.db").touch()
    assert scrape(tmp_path)["jobs_total"] == 3
