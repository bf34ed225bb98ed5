"""One platform of real processes for the whole directory; every test finds it whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.books import Books
from tests.support.http_shop import HttpShop
from tests.support.processes import Platform

LOG_BYTES = 12_000
_PLATFORM = pytest.StashKey[Platform]()
_SIZES = pytest.StashKey[dict[str, int]]()


@pytest.fixture(scope="package")
def running_platform() -> Iterator[Platform]:
    with Platform() as platform:
        yield platform


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
    return HttpShop(platform.url, **platform.merchant)


@pytest.fixture
def books(platform: Platform) -> Iterator[Books]:
    books = Books(platform.database)
    yield books
    books.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """A failure comes with what the processes wrote during the test."""
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
