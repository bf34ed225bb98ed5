"""A recorded request runs once, whatever happens to Redis."""

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone
from django_redis import get_redis_connection

from merchants import services
from merchants.models import ApiKey, RequestNonce
from tests.merchants.conftest import new_merchant
from tests.support.signing import SignedClient

WRITE = "/api/v1/merchant/api-keys"


def record(client: SignedClient, **changes):
    """Records a request, so that it can be sent again."""
    headers = {
        name: value for name, value in client.signed_headers("POST", WRITE, b"{}", **changes).items() if value
    }
    return lambda: Client().post(WRITE, b"{}", content_type="application/json", headers=headers)


def test_a_write_runs_once(client, acme):
    send = record(client)
    assert send().status_code == 200
    again = send()
    assert (again.status_code, again.json()["error_code"]) == (401, "nonce_reused")
    assert again["WWW-Authenticate"]
    assert ApiKey.objects.filter(merchant=acme.merchant).count() == 3


def test_a_write_runs_once_although_redis_was_flushed(client):
    send = record(client)
    assert send().status_code == 200
    get_redis_connection("default").flushdb()
    assert send().status_code == 401


def test_a_write_runs_once_while_redis_is_down(client, redis_down):
    send = record(client)
    assert send().status_code == 200
    assert send().status_code == 401


def test_a_nonce_belongs_to_its_key(client, other_client):
    assert record(client, nonce="n" * 16)().status_code == 200
    assert record(other_client, nonce="n" * 16)().status_code == 200


def test_reads_and_writes_with_an_idempotency_key_use_no_nonce(client):
    assert client.request("GET", WRITE, nonce="n" * 16).status_code == 200
    assert client.request("POST", WRITE, {}, nonce="n" * 16, idempotency_key="k").status_code == 200
    assert not RequestNonce.objects.exists()


def test_the_idempotency_key_protects_a_keyed_write(client, acme):
    send = record(client, idempotency_key="once")
    assert [send().status_code for _ in range(3)] == [200, 200, 200]
    assert ApiKey.objects.filter(merchant=acme.merchant).count() == 3  # made once


def test_a_forged_request_uses_no_nonce(client):
    nonce = "n" * 16
    forger = SignedClient(client.key, "sk_test_guess")
    assert forger.request("POST", WRITE, {}, nonce=nonce).status_code == 401
    assert client.request("POST", WRITE, {}, nonce=nonce, timestamp=1).status_code == 401
    assert client.request("POST", WRITE, {}, nonce=nonce).status_code == 200


def test_a_request_with_an_invalid_body_has_used_its_nonce(client):
    """The nonce is used before the body is read, so the request cannot be sent a second time."""
    nonce = "n" * 16
    assert client.request("POST", WRITE, {"unknown": 1}, nonce=nonce).status_code == 400
    assert client.request("POST", WRITE, {}, nonce=nonce).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_of_twenty_requests_at_once_one_runs():
    acme = new_merchant()
    send = record(SignedClient(acme.test_key.key, acme.test_key.secret))

    def one(_number: int) -> int:
        try:
            return send().status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(one, range(20)))
    assert statuses == [200] + [401] * 19
    assert ApiKey.objects.filter(merchant=acme.merchant).count() == 3


def test_pruning_keeps_nonces_that_could_still_be_replayed(acme):
    key = acme.test_key.api_key
    now = timezone.now()
    ages = [dt.timedelta(minutes=minutes) for minutes in (0, 10, 19, 21, 60)]
    RequestNonce.objects.bulk_create(
        RequestNonce(api_key=key, nonce=uuid.uuid4().hex, created_at=now - age) for age in ages
    )
    assert services.prune_nonces(batch=1) == 1
    assert services.prune_nonces() == 1
    assert services.prune_nonces() == 0
    assert RequestNonce.objects.count() == 3
