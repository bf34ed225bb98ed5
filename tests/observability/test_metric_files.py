"""One scrape counts for all processes, the dead included, and a gauge only for the living."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import Metric

from common import metric_files
from scripts.local.config import ROOT

COUNTING = """
import sys
from prometheus_client import Counter, Gauge, Histogram
Counter("jobs", "Jobs", ["kind"]).labels("a").inc(3)
Histogram("seconds", "Seconds", buckets=(1, 2)).observe(1.5)
Gauge("open", "Open", multiprocess_mode="livesum").set(5)
Gauge("latest", "Latest", multiprocess_mode="mostrecent").set(float(sys.argv[1]))
print("counted", flush=True)
sys.stdin.read()
"""


class Counting:
    """A process that has counted, and lives until it is killed."""

    def __init__(self, directory: Path, latest: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, str(latest)],
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


def scraped(directory: Path) -> dict[str, float]:
    metrics: list[Metric] = list(metric_files.collect(directory))
    return {
        sample.name + (json.dumps(sample.labels) if "le" in sample.labels else ""): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_counters_survive_and_gauges_die(tmp_path: Path) -> None:
    first, second = Counting(tmp_path, 1), Counting(tmp_path, 2)
    both = scraped(tmp_path)
    assert (both["jobs_total"], both["seconds_count"], both["open"], both["latest"]) == (6, 2, 10, 2)
    second.kill()
    one = scraped(tmp_path)
    assert (one["jobs_total"], one["seconds_count"], one["open"], one["latest"]) == (6, 2, 5, 2)
    first.kill()
    assert "open" not in scraped(tmp_path)
    assert list(tmp_path.glob("*.db")) == [], "the files of the dead are out of the way"


def test_many_restarts_leave_few_files_and_every_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metric_files, "MERGE_AT", 4)
    for number in range(1, 5):
        Counting(tmp_path, number).kill()
        found = scraped(tmp_path)
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
    """Right before the new generation shows, and right after, before the old one is removed."""
    monkeypatch.setattr(metric_files, "MERGE_AT", 2)
    Counting(tmp_path, 1).kill()

    class Killed(Exception):
        pass

    def die(*_arguments: object, **_options: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if dies_at == "before":
            patched.setattr(Path, "rename", _dying_rename(die))
        else:
            patched.setattr(metric_files.shutil, "rmtree", lambda path, **options: None if options else die())  # type: ignore[attr-defined]
        with pytest.raises(Killed):
            scraped(tmp_path)
    assert scraped(tmp_path)["jobs_total"] == 3
    assert scraped(tmp_path)["jobs_total"] == 3


def _dying_rename(die):  # type: ignore[no-untyped-def]
    rename = Path.rename
    return lambda path, target: die() if path.name == "unfinished" else rename(path, target)


def test_a_process_that_died_before_its_first_byte(tmp_path: Path) -> None:
    Counting(tmp_path, 1).kill()
    (tmp_path / "counter_4194303.db").touch()
    (tmp_path / f"histogram_{os.getpid()}.db").touch()
    assert scraped(tmp_path)["jobs_total"] == 3
