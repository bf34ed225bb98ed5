"""Typical work of each role in a real browser. In CI each module runs in one look (language and theme), and the modules
together cover all four; with `--long` each test runs in all four.

`LOOK` of a module is a name of `tests.support.desk.LOOKS`.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from staff.roles import Role
from tests.office_access.conftest import member
from tests.support.desk import LOOKS, Desk
from tests.support.fixtures import _in_a_hurry, acme, client  # noqa: F401


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "look" in metafunc.fixturenames:
        everything = metafunc.config.getoption("--long")
        metafunc.parametrize("look", list(LOOKS) if everything else [metafunc.module.LOOK])


@pytest.fixture
def desk(chromium: Browser, live_server: Any, look: str) -> Iterator[Callable[..., Desk]]:
    """Opens a browser in which a person of a role is signed in. No browser may report an error during the test."""
    language, theme = LOOKS[look]
    opened: list[Desk] = []

    def open_desk(name: str, role: Role) -> Desk:
        opened.append(Desk(chromium, live_server.url, member(name, role), language=language, theme=theme))
        return opened[-1]

    yield open_desk
    for each in opened:
        each.context.close()
    assert [error for each in opened for error in each.errors] == []
