"""Gives each pytest-xdist worker its share of the expensive tests, to be run first.

`--dist worksteal` cuts the list of tests into one slice per worker; a worker that has finished its slice takes tests
from the end of another one. So every slice begins with expensive units, kept whole because their tests share a platform
of real processes, containers or a browser, and ends with cheap tests that can go to any worker.
"""

from collections.abc import Sequence

import pytest

# Tests in these folders share one expensive fixture. Elsewhere a unit is a file.
FOLDERS = ("tests/processes",)
# About how long an expensive unit takes on an idle machine. Only the order and the balance depend on it.
SECONDS = {
    "tests/processes": 200.0,
}
# Of a test in a unit that is not in the list.
SECONDS_BY_MARKER = {"stack": 10.0, "processes": 10.0, "browser": 3.0}


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The same tests, in an order of which `worksteal` gives each of so many workers its share."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(unit_of(item), []).append(item)
    costs = {name: SECONDS.get(name) or sum(map(seconds_of, tests)) for name, tests in units.items()}
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


def seconds_of(item: pytest.Item) -> float:
    """0 for a cheap test."""
    return max(
        (cost for mark, cost in SECONDS_BY_MARKER.items() if item.get_closest_marker(mark)), default=0.0
    )
