"""Fixtures of tests that call the API. A `conftest.py` imports those that it needs by name."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from django.test import override_settings

from channel_accounts import loaded_accounts
from channels import guard, shared_breaker_state
from channels.shared_breaker_state import SharedBreakerState
from common import redis
from merchants import services
from merchants.services import NewMerchant
from tests.support.signing import SignedClient


def new_merchant(**changes: object) -> NewMerchant:
    wanted = {"name": "Acme", "email": f"{uuid.uuid4().hex}@example.com", **changes}
    return services.create_merchant(**wanted)  # type: ignore[arg-type]


def test_client_of(merchant: NewMerchant) -> SignedClient:
    return SignedClient(merchant.test_key.key, merchant.test_key.secret)


test_client_of.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def acme(transactional_db: None) -> NewMerchant:
    return new_merchant()


@pytest.fixture
def client(acme: NewMerchant) -> SignedClient:
    """Acme's program, with the test key."""
    return test_client_of(acme)


@pytest.fixture
def live_client(acme: NewMerchant) -> SignedClient:
    """Acme's program, with the live key."""
    return SignedClient(acme.live_key.key, acme.live_key.secret)


@pytest.fixture
def other_client(transactional_db: None) -> SignedClient:
    """Another merchant's program."""
    return test_client_of(new_merchant(name="Other"))


# No limit on how often or how many at once a test may call, and no waits between retries.
HURRY = {"RATE_LIMIT_PER_SECOND": 0, "SAGA_RETRY_BASE_SECONDS": 0, "CHANNEL_CALLS_PER_PROCESS": 1000}


@pytest.fixture(autouse=True)
def _in_a_hurry(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HURRY.items():
        setattr(settings, name, value)
    # A slow machine costs no statement: `pytest_runtest_setup` empties the cache before each test.
    monkeypatch.setattr(loaded_accounts, "CACHE_SECONDS", 3600.0)
    _forget_outages(monkeypatch)


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """For rows that are created once for many tests."""
    with override_settings(**HURRY), pytest.MonkeyPatch.context() as monkeypatch:
        _forget_outages(monkeypatch)
        yield


def _forget_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends outages of Redis or a channel that an earlier test left. The breaker's clock stands still, so that none ends
    because the machine is slow (`tests.support.outage.advance_time` moves it)."""
    monkeypatch.setattr(redis, "_paused_until", 0.0)
    monkeypatch.setattr(guard, "_guards", {})
    monkeypatch.setattr(guard, "_call_places", {})
    monkeypatch.setattr(shared_breaker_state, "PREFIX", f"channel-breaker-of-a-test:{uuid.uuid4().hex}")
    stopped_at, load = time.time(), SharedBreakerState._load
    monkeypatch.setattr(SharedBreakerState, "_load", lambda state, redis: (stopped_at, load(state, redis)[1]))
    monkeypatch.setattr(shared_breaker_state, "time", SimpleNamespace(monotonic=lambda: stopped_at))


@pytest.fixture
def redis_down(settings, _in_a_hurry: None) -> None:
    """Redis at an address where no server listens."""
    cache = settings.CACHES["default"]
    settings.CACHES = {"default": {**cache, "LOCATION": "redis://127.0.0.1:1/0"}}
