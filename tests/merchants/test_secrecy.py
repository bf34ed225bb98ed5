"""API keys and secrets are in the clear in no table, Redis key, log or admin page."""

import base64
import hashlib
import json

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django_redis import get_redis_connection

from merchants import keys
from merchants.models import ApiKey

KEYS = "/api/v1/merchant/api-keys"


@pytest.fixture
def given_secrets(client, acme, caplog) -> list[str]:
    """Returns every secret that the platform has shown, in each way that it shows them."""
    texts = [acme.test_key.key, acme.test_key.secret, acme.live_key.key, acme.live_key.secret]
    new = client.post(KEYS, {"label": "x"}, idempotency_key="issue").json()["data"]
    replay = client.post(KEYS, {"label": "x"}, idempotency_key="issue").json()["data"]
    rotated = client.post(f"{KEYS}/{new['id']}/rotate", idempotency_key="rotate").json()["data"]
    client.post(f"{KEYS}/{new['id']}/rotate", idempotency_key="rotate")
    client.get("/api/v1/merchant", X_Signature="v1=" + "0" * 64)
    assert replay["secret"] is None
    return [*texts, new["key"], new["secret"], rotated["key"], rotated["secret"]]


def contains_secret(haystack: bytes, secret: str) -> bool:
    """Looks for the whole secret and for its random part."""
    return secret.encode() in haystack or secret.rpartition("_")[2][:20].encode() in haystack


def test_no_secret_is_in_a_table(given_secrets):
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        assert {"api_keys", "idempotency_keys"} <= set(tables)
        dump = b""
        for table in tables:
            cursor.execute(f'SELECT coalesce(string_agg(row::text, chr(10)), $$$$) FROM "{table}" AS row')
            dump += cursor.fetchone()[0].encode()
        cursor.execute("SELECT response_body FROM idempotency_keys")  # bytes, which a dump shows as hex
        answers = b"\n".join(bytes(body) for (body,) in cursor.fetchall())
    assert b"issue" in dump  # the dump is one
    assert b'"secret": null' in answers
    assert not [secret for secret in given_secrets if contains_secret(dump + answers, secret)]


def _content(redis, name) -> bytes:
    """Reads a value of Redis: hashes are ours; lists and sets are in Celery's queue. The key may expire meanwhile."""
    match redis.type(name):
        case b"string":
            return redis.get(name) or b""
        case b"hash":
            return str(redis.hgetall(name)).encode()
        case b"list":
            return str(redis.lrange(name, 0, -1)).encode()
        case b"set":
            return str(redis.smembers(name)).encode()
        case kind:
            assert kind == b"none", kind
            return b""


def test_no_secret_is_in_redis(given_secrets):
    redis = get_redis_connection("default")
    dump = b""
    for name in redis.scan_iter(count=1000):
        value = _content(redis, name)
        dump += name + value
        if value.startswith(b"{") and b"answer" in value:
            dump += base64.b64decode(json.loads(json.loads(value)["answer"])["body"])
    assert b'"secret": null' in dump
    assert not [secret for secret in given_secrets if contains_secret(dump, secret)]


def test_no_secret_is_in_the_logs(given_secrets, caplog):
    text = "\n".join(record.getMessage() for record in caplog.get_records("setup")).encode()
    assert b"api_key.rotated" in text
    assert b"authentication.refused" in text
    assert not [secret for secret in given_secrets if contains_secret(text, secret)]


def test_no_secret_is_in_a_repr(acme):
    printed = repr([acme, acme.test_key, keys.generate_key("test"), acme.test_key.api_key, acme.merchant])
    assert not contains_secret(printed.encode(), acme.test_key.key)
    assert not contains_secret(printed.encode(), acme.test_key.secret)


def test_no_secret_is_on_a_page_of_the_admin(acme):
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))
    key = ApiKey.objects.get(pk=acme.test_key.api_key.pk)
    for address in (
        "apikey/",
        f"apikey/{key.pk}/change/",
        "merchant/",
        f"merchant/{acme.merchant.pk}/change/",
    ):
        page = client.get(f"/admin/merchants/{address}")
        assert page.status_code == 200, address
        for hidden in (key.key_hash, key.sealed_secret, acme.test_key.key, acme.test_key.secret):
            assert hidden.encode() not in page.content
        assert key.public_id.encode() in page.content or "merchant" in address
    for address in ("apikey/add/", "merchant/add/", f"apikey/{key.pk}/delete/"):
        assert client.get(f"/admin/merchants/{address}").status_code == 403


def test_the_hash_needs_the_key_of_this_installation(acme, settings):
    """A stolen table cannot be searched with a list of keys, and does not work in another installation."""
    key = acme.test_key
    assert key.api_key.key_hash != hashlib.sha256(key.key.encode()).hexdigest()
    settings.KEYED_HASH_SECRET = "another-installation"
    assert key.api_key.key_hash != keys.hash_key(key.key)


def test_every_model_is_covered():
    """A new table with a secret must be added here."""
    names = {model.__name__ for model in apps.get_app_config("merchants").get_models()}
    assert names == {"Merchant", "ApiKey", "RequestNonce"}
