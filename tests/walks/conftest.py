"""The days of the roles. In CI each walk wears one look, and together they wear all four; `--long` walks each in all.

A module says which one by `LOOK`, a name of `tests.support.desk.LOOKS`.
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
    """Somebody of a role sits down, signed in. Afterwards no browser may have complained."""
    language, theme = LOOKS[look]
    taken: list[Desk] = []

    def sit_down(name: str, role: Role) -> Desk:
        taken.append(Desk(chromium, live_server.url, member(name, role), language=language, theme=theme))
        return taken[-1]

    yield sit_down
    for each in taken:
        each.context.close()
    assert [error for each in taken for error in each.errors] == []
