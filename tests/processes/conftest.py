"""One platform of real processes for all tests of this directory. Before each test, all its processes run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes.deaths import OF_A_STEP, Cell
from tests.processes.flows import FLOWS, LONG_FLOWS, Flow
from tests.processes.settling import settle
from tests.support.books import Books
from tests.support.http_shop import HttpShop
from tests.support.processes import Platform
from tests.support.stripe.server import fake_stripe

LOG_BYTES = 12_000
SETTLE_SECONDS = 60.0
SEEDS, LONG_SEEDS = 2, 10
_PLATFORM = pytest.StashKey[Platform]()
_SIZES = pytest.StashKey[dict[str, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    usual = f"How many random schedules to run: {SEEDS}, and with --long {LONG_SEEDS}."
    parser.addoption("--seeds", type=int, default=None, help=usual)
    parser.addoption("--first-seed", type=int, default=1, help="The seed of the first one.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("--first-seed", 1)
        long = metafunc.config.getoption("--long", False)
        count = metafunc.config.getoption("--seeds", None) or (LONG_SEEDS if long else SEEDS)
        metafunc.parametrize("seed", range(first, first + count))
    if "flow" in metafunc.fixturenames:
        long_flows = LONG_FLOWS if metafunc.config.getoption("--long", False) else ()
        metafunc.parametrize("flow", (*FLOWS, *long_flows), ids=str)


@pytest.fixture(scope="package")
def running_platform(pytestconfig: pytest.Config) -> Iterator[Platform]:
    """After the last test, the integrity checks run over everything that happened. Only the long mode has a circuit
    breaker, which delays refused calls by half a minute."""
    long = pytestconfig.getoption("--long", False)
    with (
        fake_stripe() as stripe,
        Platform(has_sandboxes=True, has_circuit_breaker=long, stripe=stripe) as platform,
    ):
        yield platform
        assert not stripe.errors, stripe.errors
        platform.heal()
        books = Books(platform.database, platform.read_sandbox_books)
        try:
            settle(platform, _build_shop(platform), books, SETTLE_SECONDS)
        finally:
            books.close()


@pytest.fixture
def platform(running_platform: Platform, request: pytest.FixtureRequest) -> Platform:
    request.node.stash[_PLATFORM] = running_platform
    request.node.stash[_SIZES] = {
        process.name: process.log.stat().st_size
        for process in running_platform.processes
        if process.log.exists()
    }
    running_platform.heal()
    return running_platform


@pytest.fixture
def shop(platform: Platform) -> HttpShop:
    return _build_shop(platform)


def _build_shop(platform: Platform) -> HttpShop:
    return HttpShop(platform.url, **platform.merchant).invite(platform.customers, platform.stripe_customers)


@pytest.fixture
def books(platform: Platform) -> Iterator[Books]:
    books = Books(platform.database, platform.read_sandbox_books)
    yield books
    books.close()


@pytest.fixture
def cell(record_property: Callable[[str, object], None]) -> Cell:
    """Counts one cell of the matrix; the summary adds them up."""

    def count(flow: Flow, direction: str, process: str, point: str) -> None:
        step = flow.step if point in (*OF_A_STEP, "lost") else ""
        record_property("crash_cell", [flow.name, step, direction, process, point])

    return count


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Adds the output of the processes during the test to a failure."""
    report = yield
    platform = item.stash.get(_PLATFORM, None)
    if report.failed and platform is not None:
        for process in platform.processes:
            text = _written(process.log, item.stash[_SIZES].get(process.name, 0))
            if text:
                report.sections.append((f"log of {process.name}", text))
    return report


def _written(log: Path, since: int) -> str:
    return log.read_bytes()[since:][-LOG_BYTES:].decode(errors="replace") if log.exists() else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the size of the crash matrix of this run, its random schedules and its recovery times."""
    figures: dict[str, list[Any]] = {"crash_cell": [], "schedule": [], "recovery": []}
    for report in terminalreporter.getreports("passed"):
        if type(report) is pytest.TestReport and report.when == "call":
            for name, value in report.user_properties:
                figures.setdefault(name, []).append(value)
    if figures["crash_cell"]:
        terminalreporter.write_line(_matrix({tuple(cell) for cell in figures["crash_cell"]}))
    for line in figures["schedule"] + figures["recovery"]:
        terminalreporter.write_line(line)


def _matrix(cells: set[tuple[str, ...]]) -> str:
    flows, steps, directions, processes, points = (
        len({cell[column] for cell in cells} - {""}) for column in range(5)
    )
    return (
        f"crash matrix: {len(cells)} cells survived: {flows} flows, {steps} steps, {directions} directions,"
        f" {processes} kinds of workers, {points} points (die before, die after, answer lost)"
    )
