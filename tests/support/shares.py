"""Finds expensive tests. They run first, evenly spread over the pytest-xdist workers, and `--fast` leaves them out.

`--dist worksteal` cuts the list of tests into one slice per worker; a worker that has finished its slice takes tests
from the end of another one. So every slice begins with expensive units, kept whole because their tests share a platform
of real processes, containers or a browser, and ends with cheap tests that can go to any worker.
"""

import json
import time
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

# Tests in these folders share one expensive fixture. In all other folders a unit is a file.
FOLDERS = ("tests/processes",)
MARKERS = ("stack", "processes", "browser")
# Estimate for a new test with such a marker, which is not in the list below.
NEW_SECONDS = 5.0
# Seconds of the slow tests, as the last run with `--record-seconds` measured them.
FILE = Path(__file__).parent.parent / "seconds.json"
EXPENSIVE_SECONDS = 0.5


def recorded() -> dict[str, float]:
    seconds: dict[str, float] = json.loads(FILE.read_text())
    return seconds


def dealt(items: Sequence[pytest.Item], workers: int, seconds: Mapping[str, float]) -> list[pytest.Item]:
    """Returns the tests in an order of which `worksteal` gives each worker an equal share of the expensive ones."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(unit_of(item), []).append(item)
    costs = {name: sum(seconds_of(item, seconds) for item in tests) for name, tests in units.items()}
    cheap = [item for name, tests in units.items() if not costs[name] for item in tests]
    slices: list[list[pytest.Item]] = [[] for _worker in range(workers)]
    loads = [0.0] * workers
    for name in sorted(filter(costs.get, costs), key=lambda name: (-costs[name], name)):
        least = loads.index(min(loads))
        slices[least] += units[name]
        loads[least] += costs[name]
    left = len(items)
    for number, part in enumerate(slices):
        size = left // (workers - number)  # as worksteal cuts
        left -= size
        wanted = max(0, size - len(part))
        part += cheap[:wanted]
        del cheap[:wanted]
    return [item for part in slices for item in part] + cheap


def unit_of(item: pytest.Item) -> str:
    file = item.nodeid.partition("::")[0]
    return next((folder for folder in FOLDERS if file.startswith(f"{folder}/")), file)


def seconds_of(item: pytest.Item, seconds: Mapping[str, float]) -> float:
    """0 for a cheap test."""
    marked = any(item.get_closest_marker(name) for name in MARKERS)
    return seconds.get(item.nodeid, NEW_SECONDS if marked else 0.0)


def is_fast(item: pytest.Item, seconds: Mapping[str, float]) -> bool:
    """Neither marked as starting processes or a browser nor recorded as expensive."""
    return not any(item.get_closest_marker(name) for name in MARKERS) and item.nodeid not in seconds


class Recorder:
    """Writes the file of recorded seconds. Set-up counts, except what a whole session shares; teardown does not."""

    def __init__(self, *, writes: bool) -> None:
        """Only the process to which the others report writes."""
        self._writes = writes
        self._seconds: dict[str, float] = defaultdict(float)
        self._shared_seconds = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        began = time.monotonic()
        result = yield
        if fixturedef.scope == "session":
            self._shared_seconds += time.monotonic() - began
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        report: Any = yield
        report.shared_seconds, self._shared_seconds = self._shared_seconds, 0.0
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        if (
            type(report) is pytest.TestReport and report.when != "teardown"
        ):  # a subtest's time is its test's already
            self._seconds[report.nodeid] += report.duration - report.shared_seconds

    def pytest_sessionfinish(self) -> None:
        found = {test: round(took, 1) for test, took in self._seconds.items() if took >= EXPENSIVE_SECONDS}
        if self._writes:
            FILE.write_text(json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False) + "\n")
