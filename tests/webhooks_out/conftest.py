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
from webhooks import claims, endpoint_state


@pytest.fixture(autouse=True)
def _patient_with_slow_machines(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine, no endpoint counts as slow. A call still ends before its lease expires."""
    settings.WEBHOOK_TIMEOUT_SECONDS = 0.8 * claims.LEASE_SECONDS
    for module in (claims, endpoint_state):
        monkeypatch.setattr(module, "SLOW_SECONDS", claims.LEASE_SECONDS / 2)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running
