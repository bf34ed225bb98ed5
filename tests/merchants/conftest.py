import uuid

import pytest

from merchants import services
from merchants.services import NewMerchant
from tests.support.signing import SignedClient


def new_merchant(**changes: object) -> NewMerchant:
    return services.create_merchant(**{"name": "Acme", "email": f"{uuid.uuid4().hex}@example.com", **changes})


@pytest.fixture
def acme(db: None) -> NewMerchant:
    return new_merchant()


@pytest.fixture
def client(acme: NewMerchant) -> SignedClient:
    """Acme's program, with the test key."""
    return SignedClient(acme.test_key.key, acme.test_key.secret)


@pytest.fixture
def live_client(acme: NewMerchant) -> SignedClient:
    return SignedClient(acme.live_key.key, acme.live_key.secret)


@pytest.fixture
def other_client(db: None) -> SignedClient:
    """Another merchant's program."""
    other = new_merchant(name="Other")
    return SignedClient(other.test_key.key, other.test_key.secret)


@pytest.fixture
def redis_down(settings, monkeypatch: pytest.MonkeyPatch):
    """Redis at an address where nobody listens. Afterwards no pause of that outage is left over."""
    from common import redis

    cache = settings.CACHES["default"]
    settings.CACHES = {"default": {**cache, "LOCATION": "redis://127.0.0.1:1/0"}}
    monkeypatch.setattr(redis, "_paused_until", 0.0)
