"""A fake of Stripe that checks credentials."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fixtures import _in_a_hurry, acme, client, live_client, other_client  # noqa: F401
from tests.support.stripe.fake import FakeStripe
from tests.support.stripe.server import fake_stripe


@pytest.fixture(scope="session")
def _session_fake_stripe() -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        yield fake


@pytest.fixture
def stripe(_session_fake_stripe: FakeStripe, settings: Any) -> FakeStripe:
    settings.STRIPE_API_BASE = _session_fake_stripe.url
    _session_fake_stripe.reset()
    return _session_fake_stripe
