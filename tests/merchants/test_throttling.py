"""The rate limit per key, on the real Redis."""

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone
from django_redis import get_redis_connection

from merchants import services, throttling
from merchants.errors import RateLimited
from merchants.models import ApiKey
from tests.support.signing import SignedClient
from tests.support.work import count_redis_round_trips

PATH = "/api/v1/merchant"


@pytest.fixture
def slow(settings):
    """Limits a key to one request in 1000 seconds and a burst of three: even on a slow machine, no other is allowed."""
    settings.RATE_LIMIT_PER_SECOND, settings.RATE_LIMIT_BURST = 0.001, 3


def test_requests_beyond_the_burst_are_refused(client, slow):
    assert [client.get(PATH).status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get(PATH)
    assert answer.json()["error_code"] == "rate_limited"
    assert answer.json()["details"] == {"limit_per_second": 0.001, "burst": 3}
    assert 900 <= int(answer["Retry-After"]) <= 1000


def test_a_request_after_retry_after_is_admitted(acme, settings):
    settings.RATE_LIMIT_PER_SECOND, settings.RATE_LIMIT_BURST = 0.001, 1
    key_id = acme.test_key.api_key.pk
    throttling.count_request(key_id=key_id)
    with pytest.raises(RateLimited) as refused:
        throttling.count_request(key_id=key_id)
    wait_seconds = int(refused.value.headers["Retry-After"])
    assert 900 <= wait_seconds <= 1000
    _let_pass(key_id, wait_seconds)
    throttling.count_request(key_id=key_id)
    with pytest.raises(RateLimited):
        throttling.count_request(key_id=key_id)


def _let_pass(key_id: uuid.UUID, seconds: int) -> None:
    """Moves the stored time of the bucket back, as if this many seconds had passed."""
    redis, name = get_redis_connection("default"), f"payment-gateway:rate-limit:{key_id}"
    empty_at = redis.get(name)
    assert empty_at is not None
    redis.set(name, int(float(empty_at)) - seconds * throttling.MICROSECONDS)


def test_concurrent_requests_do_not_exceed_the_limit(acme, settings):
    settings.RATE_LIMIT_PER_SECOND, settings.RATE_LIMIT_BURST = 0.0001, 25

    def one(_number: int) -> bool:
        try:
            throttling.count_request(key_id=acme.test_key.api_key.pk)
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(one, range(100))) == 25


def test_each_key_has_its_own_limit(client, other_client, live_client, slow):
    assert [client.get(PATH).status_code for _ in range(4)][-1] == 429
    assert other_client.get(PATH).status_code == 200
    assert live_client.get(PATH).status_code == 200


def test_forged_requests_do_not_use_up_the_limit(client, slow):
    forger = SignedClient(client.key, "sk_test_guess")
    assert {forger.get(PATH).status_code for _ in range(10)} == {401}
    assert {client.request("GET", PATH, timestamp=1).status_code for _ in range(10)} == {
        401
    }  # a recorded request
    assert client.get(PATH).status_code == 200


def test_a_limit_of_zero_means_no_limit(client, settings):
    settings.RATE_LIMIT_PER_SECOND = 0
    assert {client.get(PATH).status_code for _ in range(20)} == {200}


def test_without_redis_every_request_is_admitted(client, slow, redis_down):
    assert {client.get(PATH).status_code for _ in range(10)} == {200}


def test_the_limit_costs_one_round_trip(acme):
    throttling.count_request(key_id=acme.test_key.api_key.pk)  # the script is loaded
    with count_redis_round_trips() as sent:
        throttling.count_request(key_id=acme.test_key.api_key.pk)
    assert len(sent) == 1


def test_a_value_is_read_with_the_limit_only_while_requests_pass(acme, slow):
    redis, key_id = get_redis_connection("default"), acme.test_key.api_key.pk
    redis.set("a-value", b"stored")
    read = [throttling.count_request(key_id=key_id, read_name="a-value") for _ in range(2)]
    assert [*read, throttling.count_request(key_id=key_id, read_name="no-value")] == [
        b"stored",
        b"stored",
        None,
    ]
    with pytest.raises(RateLimited):
        throttling.count_request(key_id=key_id, read_name="a-value")


class TestLastUsed:
    def test_the_last_use_is_written_in_one_statement(
        self, client, live_client, acme, django_assert_num_queries
    ):
        throttling.pop_key_usage()
        before = timezone.now().replace(microsecond=0)  # Redis notes whole seconds
        client.get(PATH), live_client.get(PATH)
        with django_assert_num_queries(1):
            assert services.flush_key_usage() == 2
        for key in ApiKey.objects.filter(merchant=acme.merchant):
            assert before <= key.last_used_at <= timezone.now()
        assert services.flush_key_usage() == 0

    def test_the_last_use_never_goes_back(self, acme):
        later = timezone.now() + dt.timedelta(days=1)
        ApiKey.objects.filter(pk=acme.test_key.api_key.pk).update(last_used_at=later)
        throttling.count_request(key_id=acme.test_key.api_key.pk)
        services.flush_key_usage()
        assert ApiKey.objects.get(pk=acme.test_key.api_key.pk).last_used_at == later

    def test_refused_requests_do_not_count_as_use(self, acme):
        throttling.pop_key_usage()
        SignedClient(acme.test_key.key, "sk_test_guess").get(PATH)
        assert throttling.pop_key_usage() == {}

    def test_without_redis_there_is_nothing_to_write(self, acme, redis_down, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert services.flush_key_usage() == 0
