import uuid

import pytest

from merchants import services
from merchants.services import NewMerchant
from tests.support.signing import SignedClient


def new_merchant(**changes: object) -> NewMerchant:
    return services.create_merchant(**{"name": "Acme", "email": f"{uuid.uuid4().hex}@example.com", **changes})


def refusal(answer) -> str:
    """Checks that the response is a proper 401, and returns its `error_code`."""
    assert answer.status_code == 401, answer.content
    assert answer["WWW-Authenticate"].startswith("Signature ")
    assert answer.json()["request_id"] == answer["X-Request-Id"]
    return answer.json()["error_code"]


def data(answer):
    assert answer.status_code == 200, answer.content
    assert answer.json()["code"] == 0
    return answer.json()["data"]


def error(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error_code"]


@pytest.fixture
def acme(transactional_db: None) -> NewMerchant:
    return new_merchant()


@pytest.fixture
def client(acme: NewMerchant) -> SignedClient:
    """A client with the test key of Acme."""
    return SignedClient(acme.test_key.key, acme.test_key.secret)


@pytest.fixture
def live_client(acme: NewMerchant) -> SignedClient:
    return SignedClient(acme.live_key.key, acme.live_key.secret)


@pytest.fixture
def other_client(transactional_db: None) -> SignedClient:
    """A client of another merchant."""
    other = new_merchant(name="Other")
    return SignedClient(other.test_key.key, other.test_key.secret)


@pytest.fixture
def redis_down(settings, monkeypatch: pytest.MonkeyPatch):
    """Redis at an address where nothing listens. Afterwards the pause of that outage is reset."""
    from common import redis

    cache = settings.CACHES["default"]
    settings.CACHES = {"default": {**cache, "LOCATION": "redis://127.0.0.1:1/0"}}
    monkeypatch.setattr(redis, "_paused_until", 0.0)
