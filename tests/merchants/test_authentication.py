"""Authentication through the API, with real signatures."""

import datetime as dt
import itertools
import time
from dataclasses import replace

import pytest
from django.test import Client, RequestFactory

from merchants import authentication, metrics, selectors
from merchants.credentials import RequestCredentials, get_raw_path, read_credentials
from merchants.models import ApiKey
from tests.merchants.conftest import new_merchant, refusal
from tests.support.signing import SignedClient

PATH = "/api/v1/merchant"
WRITE = "/api/v1/merchant/api-keys"


def test_a_signed_request_is_admitted(client, acme):
    answer = client.get(PATH)
    assert answer.status_code == 200, answer.content
    data = answer.json()["data"]
    assert data["id"] == str(acme.merchant.pk)
    assert data["environment"] == "test"
    assert data["key_id"] == str(acme.test_key.api_key.pk)


def test_the_presented_key_is_the_row_that_the_orm_reads(acme):
    found = selectors.find_presented_key(acme.test_key.key)
    read = ApiKey.objects.select_related("merchant").get(pk=found.key.pk)
    names = [field.attname for field in ApiKey._meta.concrete_fields]
    assert [getattr(found.key, name) for name in names] == [getattr(read, name) for name in names]
    assert found.merchant_status == read.merchant.status
    assert not found.key._state.adding


def test_path_query_and_body_are_signed_as_sent(client):
    assert (
        client.get(f"{WRITE}?limit=1&cursor=zz").status_code == 400
    )  # the signature is right, the cursor is not
    assert client.get(f"{WRITE}?limit=%31").status_code == 200
    assert client.post(WRITE, {"label": "测试 ✓"}).status_code == 200


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RAW_URI": "/api/v1/x%2fy%E4?a=%20"}, "/api/v1/x%2fy%E4"),
        ({"RAW_URI": "http://pay.example:8/api/v1/x?a"}, "/api/v1/x"),
        ({"PATH_INFO": "/api/v1/\xe6\xb5\x8b"}, "/api/v1/%E6%B5%8B"),
        ({"SCRIPT_NAME": "/pay", "PATH_INFO": "/api v1"}, "/pay/api%20v1"),
    ],
)
def test_the_raw_path_is_the_one_that_the_server_received(environ, path):
    request = RequestFactory().get("/")
    request.META |= environ
    assert get_raw_path(request) == path


class TestTampering:
    def test_changing_any_signed_part_is_refused(self, client):
        body, fixed = b'{"label":"a"}', {"timestamp": time.time(), "nonce": "a" * 16}
        honest = client.signed_headers("POST", WRITE, body, idempotency_key="k", **fixed)

        def send(method="POST", path=WRITE, body=body, **changed):
            headers = {**honest, **{name.replace("_", "-"): value for name, value in changed.items()}}
            return Client().generic(method, path, body, content_type="application/json", headers=headers)

        later = str(int(fixed["timestamp"]) + 1)
        tampered = [
            send(method="PUT"),
            send(path=f"{WRITE}?a=1"),
            send(path="/api/v1/merchant"),
            send(body=b'{"label":"b"}'),
            send(body=b""),
            send(X_Timestamp=later),
            send(X_Nonce="b" * 16),
            send(Idempotency_Key="other"),
            send(Idempotency_Key=""),
            send(X_Signature="v1=" + "0" * 64),
        ]
        assert [refusal(answer) for answer in tampered] == ["invalid_credentials"] * len(tampered)
        assert send().status_code == 200  # and the untouched request still works: nothing was spent

    def test_a_signature_of_another_key_of_the_same_merchant_fails(self, acme):
        assert (
            refusal(SignedClient(acme.test_key.key, acme.live_key.secret).get(PATH)) == "invalid_credentials"
        )

    def test_an_upper_case_signature_is_accepted(self, client):
        headers = client.signed_headers("GET", PATH, b"", nonce="a" * 16)
        shouted = "v1=" + headers["X-Signature"][3:].upper()
        assert client.get(PATH, **{**_as_arguments(headers), "X_Signature": shouted}).status_code == 200


class TestClock:
    @pytest.mark.parametrize("skew", [-300, -299, 0, 299, 300])
    def test_a_timestamp_within_five_minutes_is_accepted(self, client, skew, freeze):
        freeze(2_000_000_000)
        assert client.request("GET", PATH, timestamp=2_000_000_000 + skew).status_code == 200

    @pytest.mark.parametrize("skew", [-301, 301, -86400, 10**9])
    def test_a_timestamp_beyond_five_minutes_is_refused(self, client, skew, freeze):
        freeze(2_000_000_000)
        answer = client.request("GET", PATH, timestamp=2_000_000_000 + skew)
        assert refusal(answer) == "timestamp_out_of_range"
        assert answer.json()["details"] == {"server_time": 2_000_000_000, "tolerance_seconds": 300}

    def test_only_the_key_holder_learns_of_a_wrong_clock(self, acme):
        forger = SignedClient(acme.test_key.key, "sk_test_guess")
        assert refusal(forger.request("GET", PATH, timestamp=1)) == "invalid_credentials"

    @pytest.fixture
    def freeze(self, monkeypatch):
        """Sets the time of the database."""
        find = selectors.find_presented_key

        def stop(now):
            frozen = dt.datetime.fromtimestamp(now, dt.UTC)
            monkeypatch.setattr(selectors, "find_presented_key", lambda key: replace(find(key), now=frozen))

        return stop


class TestMissingHeaders:
    @pytest.mark.parametrize("name", ["X-API-Key", "X-Signature", "X-Timestamp"])
    def test_each_missing_header_is_named(self, client, name):
        answer = client.get(PATH, **{name.replace("-", "_"): None})
        assert refusal(answer) == "credentials_incomplete"
        assert list(answer.json()["details"]) == [name]

    def test_all_missing_headers_are_named_at_once(self, db):
        answer = Client().post(WRITE, b"{}", content_type="application/json")
        assert refusal(answer) == "credentials_incomplete"
        assert set(answer.json()["details"]) == {"X-API-Key", "X-Signature", "X-Timestamp", "X-Nonce"}

    def test_reads_need_no_nonce(self, client):
        assert client.request("GET", PATH, nonce="").status_code == 200

    def test_writes_with_an_idempotency_key_need_no_nonce(self, client):
        assert client.request("POST", WRITE, {}, nonce="", idempotency_key="k").status_code == 200

    def test_other_writes_need_a_nonce(self, client):
        answer = client.request("POST", WRITE, {}, nonce="")
        assert refusal(answer) == "credentials_incomplete"
        assert list(answer.json()["details"]) == ["X-Nonce"]

    def test_malformed_headers_cause_no_query(self, db, django_assert_num_queries):
        with django_assert_num_queries(0):
            Client().get(PATH)


GARBAGE = ["", " ", "\x00", "\xff\xfe", "ключ", "a" * 10_000, "\n", "v1=", "v1=zz", "v2=" + "0" * 64]
GARBAGE += [
    "v1=" + "0" * 64 + ", v1=" + "0" * 64,
    "1e9",
    "-1",
    "９９９９９",
    "9" * 5_000,
    "NaN",
    "\ud800",
    "null",
]


@pytest.mark.parametrize("header", ["X_API_Key", "X_Signature", "X_Timestamp", "X_Nonce"])
@pytest.mark.parametrize("value", GARBAGE, ids=range(len(GARBAGE)))
def test_a_malformed_header_is_refused(client, acme, header, value):
    environ = {f"HTTP_{header.upper()}": value}
    headers = client.signed_headers("POST", WRITE, b"{}")
    request = Client(raise_request_exception=False)
    signed = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items() if text}
    answer = request.generic("POST", WRITE, b"{}", content_type="application/json", **{**signed, **environ})
    assert refusal(answer) in {"invalid_credentials", "credentials_incomplete"}
    assert ApiKey.objects.filter(merchant=acme.merchant).count() == 2


@pytest.mark.parametrize("value", ["\xff", "\x00", "ключ", "a" * 10_000])
def test_a_malformed_idempotency_key_is_a_client_error(client, value):
    headers = {k: v for k, v in client.signed_headers("POST", WRITE, b"{}").items() if v}
    answer = Client(raise_request_exception=False).post(
        WRITE, b"{}", content_type="application/json", headers=headers, HTTP_IDEMPOTENCY_KEY=value
    )
    assert refusal(answer) == "invalid_credentials"


def test_refusals_are_counted_by_reason(client):
    def counted() -> float:
        return metrics.REFUSED.labels("invalid_credentials")._value.get()

    before = counted()
    SignedClient(client.key, "sk_test_guess").get(PATH)
    client.get(PATH)
    assert counted() == before + 1


def test_authentication_is_one_statement(client, django_assert_num_queries):
    credentials = _credentials(client)
    with django_assert_num_queries(1):
        authentication.authenticate(credentials)


def test_master_keys_can_be_rotated_while_serving(client, settings):
    from cryptography.fernet import Fernet

    old = settings.PAYMENT_MASTER_KEYS
    settings.PAYMENT_MASTER_KEYS = [Fernet.generate_key().decode(), *old]
    assert client.get(PATH).status_code == 200
    fresh = new_merchant()
    assert SignedClient(fresh.test_key.key, fresh.test_key.secret).get(PATH).status_code == 200
    settings.PAYMENT_MASTER_KEYS = old
    answer = SignedClient(fresh.test_key.key, fresh.test_key.secret).get(PATH)
    assert (answer.status_code, answer.json()["error_code"]) == (500, "internal_error")


def test_texts_are_translated_and_error_codes_are_not(client):
    answers = [
        client.get(PATH, X_Timestamp=None, Accept_Language=language).json() for language in ("zh-hans", "en")
    ]
    assert (
        answers[1]["error"] == "Authentication headers are missing or malformed: see details for the headers."
    )
    assert len({answer["error_code"] for answer in answers}) == 1


def test_codes_and_names_are_unique():
    from merchants import errors

    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "error_code")
    ]
    for left, right in itertools.combinations(classes, 2):
        assert left.code != right.code
        assert left.error_code != right.error_code


def _credentials(client: SignedClient) -> RequestCredentials:
    headers = {name: value for name, value in client.signed_headers("GET", PATH, b"").items() if value}
    return read_credentials(RequestFactory().get(PATH, headers=headers))


def _as_arguments(headers):
    return {name.replace("-", "_"): value for name, value in headers.items()}
