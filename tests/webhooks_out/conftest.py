from collections.abc import Iterator

import pytest

from tests.support.fixtures import (  # noqa: F401
    _in_a_hurry,
    acme,
    client,
    live_client,
    other_client,
)
from tests.support.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running
