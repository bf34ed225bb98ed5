"""Who gets in and who does not, through the API, with real signatures."""

import datetime as dt
import itertools
import time
import uuid

import pytest
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common import crypto
from merchants import authentication, metrics
from merchants.models import ApiKey, Merchant, MerchantStatus
from tests.merchants.conftest import new_merchant
from tests.support.signing import SignedClient, demo_client

PATH = "/api/v1/merchant"
WRITE = "/api/v1/merchant/api-keys"


def refusal(answer) -> str:
    """The stable name of a 401, after checking that it is a proper one."""
    assert answer.status_code == 401, answer.content
    assert answer["WWW-Authenticate"].startswith("Signature ")
    assert answer.json()["request_id"] == answer["X-Request-Id"]
    return answer.json()["error_code"]


def change(acme, **columns) -> None:
    ApiKey.objects.filter(pk=acme.test_key.api_key.pk).update(**columns)


def test_a_signed_request_gets_in(client, acme):
    answer = client.get(PATH)
    assert answer.status_code == 200, answer.content
    data = answer.json()["data"]
    assert data["id"] == str(acme.merchant.pk)
    assert data["environment"] == "test"
    assert data["key_id"] == str(acme.test_key.api_key.pk)


def test_path_query_and_body_count_as_they_are_on_the_wire(client):
    assert client.get(f"{WRITE}?limit=1&cursor=zz").status_code == 400  # signed well, refused for its cursor
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
def test_the_raw_path_is_the_servers_own(environ, path):
    request = RequestFactory().get("/")
    request.META |= environ
    assert authentication._raw_path(request) == path


class TestTampering:
    def test_each_signed_part_counts(self, client):
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

    def test_upper_case_hex_is_hex(self, client):
        headers = client.signed_headers("GET", PATH, b"", nonce="a" * 16)
        shouted = "v1=" + headers["X-Signature"][3:].upper()
        assert client.get(PATH, **{**_as_arguments(headers), "X_Signature": shouted}).status_code == 200


class TestClock:
    @pytest.mark.parametrize("skew", [-300, -299, 0, 299, 300])
    def test_within_five_minutes(self, client, skew, freeze):
        freeze(2_000_000_000)
        assert client.request("GET", PATH, timestamp=2_000_000_000 + skew).status_code == 200

    @pytest.mark.parametrize("skew", [-301, 301, -86400, 10**9])
    def test_beyond(self, client, skew, freeze):
        freeze(2_000_000_000)
        answer = client.request("GET", PATH, timestamp=2_000_000_000 + skew)
        assert refusal(answer) == "timestamp_out_of_range"
        assert answer.json()["details"] == {"server_time": 2_000_000_000, "tolerance_seconds": 300}

    def test_only_the_owner_is_told_about_the_clock(self, acme):
        forger = SignedClient(acme.test_key.key, "sk_test_guess")
        assert refusal(forger.request("GET", PATH, timestamp=1)) == "invalid_credentials"

    @pytest.fixture
    def freeze(self, monkeypatch):
        return lambda now: monkeypatch.setattr(authentication.time, "time", lambda: float(now))


class TestMissingHeaders:
    @pytest.mark.parametrize("name", ["X-API-Key", "X-Signature", "X-Timestamp"])
    def test_each_is_named(self, client, name):
        answer = client.get(PATH, **{name.replace("-", "_"): None})
        assert refusal(answer) == "credentials_incomplete"
        assert list(answer.json()["details"]) == [name]

    def test_all_are_named_at_once(self, db):
        answer = Client().post(WRITE, b"{}", content_type="application/json")
        assert refusal(answer) == "credentials_incomplete"
        assert set(answer.json()["details"]) == {"X-API-Key", "X-Signature", "X-Timestamp", "X-Nonce"}

    def test_reads_need_no_nonce(self, client):
        assert client.request("GET", PATH, nonce="").status_code == 200

    def test_keyed_writes_need_no_nonce(self, client):
        assert client.request("POST", WRITE, {}, nonce="", idempotency_key="k").status_code == 200

    def test_other_writes_do(self, client):
        answer = client.request("POST", WRITE, {}, nonce="")
        assert refusal(answer) == "credentials_incomplete"
        assert list(answer.json()["details"]) == ["X-Nonce"]

    def test_nothing_reaches_the_database(self, db, django_assert_num_queries):
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
def test_garbage_in_a_header_is_a_refusal(client, acme, header, value):
    environ = {f"HTTP_{header.upper()}": value}
    headers = client.signed_headers("POST", WRITE, b"{}")
    request = Client(raise_request_exception=False)
    signed = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items() if text}
    answer = request.generic("POST", WRITE, b"{}", content_type="application/json", **{**signed, **environ})
    assert refusal(answer) in {"invalid_credentials", "credentials_incomplete"}
    assert ApiKey.objects.filter(merchant=acme.merchant).count() == 2


@pytest.mark.parametrize("value", ["\xff", "\x00", "ключ", "a" * 10_000])
def test_garbage_as_idempotency_key_is_no_failure_of_ours(client, value):
    headers = {k: v for k, v in client.signed_headers("POST", WRITE, b"{}").items() if v}
    answer = Client(raise_request_exception=False).post(
        WRITE, b"{}", content_type="application/json", headers=headers, HTTP_IDEMPOTENCY_KEY=value
    )
    assert refusal(answer) == "invalid_credentials"


class TestKeysThatEnded:
    """Whatever is wrong with a key, a stranger reads the same words."""

    @pytest.fixture
    def refusals(self, acme, client):
        past = timezone.now() - dt.timedelta(seconds=1)
        successor = acme.live_key.api_key.pk  # any row will do for the constraint
        ended = {
            "revoked": {"revoked_at": timezone.now() + dt.timedelta(hours=1)},  # whatever the clock says
            "expired": {"expires_at": past},
            "retired": {"retires_at": past, "replaced_by": successor},
        }
        callers = {
            "unknown": SignedClient("pk_test_unknown", "sk_test_unknown"),
            "wrong secret": SignedClient(acme.test_key.key, "sk_test_guess"),
            "wrong key, our secret": SignedClient(acme.test_key.key[:-1] + "~", acme.test_key.secret),
        }

        def run():
            for name, caller in callers.items():
                yield name, caller.get(PATH)
            for name, columns in ended.items():
                change(acme, **columns)
                yield name, client.get(PATH)
                change(acme, **dict.fromkeys(columns))

        return run

    def test_all_refusals_read_the_same(self, refusals, client):
        bodies = []
        for name, answer in refusals():
            assert refusal(answer) == "invalid_credentials", name
            bodies.append({**answer.json(), "request_id": None})
        assert all(body == bodies[0] for body in bodies)
        assert len(bodies) == 6
        assert client.get(PATH).status_code == 200

    def test_all_refusals_cost_the_same(self, refusals, client, monkeypatch):
        """One statement, one unsealing, one MAC, known key or not: time tells nothing."""
        client.get(PATH), SignedClient("pk_test_unknown", "x").get(PATH)  # connections and the decoy are warm
        work = {"unseal": 0, "mac": 0}

        def counted(name, function):
            def count(*args, **kwargs):
                work[name] += 1
                return function(*args, **kwargs)

            return count

        monkeypatch.setattr(crypto, "unseal", counted("unseal", crypto.unseal))
        monkeypatch.setattr(authentication, "signature_of", counted("mac", authentication.signature_of))
        steps = refusals()
        for _ in range(6):
            work.update(unseal=0, mac=0)
            with CaptureQueriesContext(connection) as queries:
                name, _answer = next(steps)
            selects = [query for query in queries if "api_keys" in query["sql"] and "SELECT" in query["sql"]]
            assert (len(selects), work) == (1, {"unseal": 1, "mac": 1}), name

    def test_a_future_end_is_no_end(self, acme, client):
        soon = timezone.now() + dt.timedelta(minutes=1)
        change(acme, expires_at=soon, retires_at=soon, replaced_by=acme.live_key.api_key.pk)
        assert client.get(PATH).status_code == 200


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
        authentication.authenticate(credentials, now=time.time())


def test_a_suspended_merchant_is_told_so_and_nobody_else(acme, client):
    Merchant.objects.filter(pk=acme.merchant.pk).update(status=MerchantStatus.SUSPENDED)
    answer = client.get(PATH)
    assert (answer.status_code, answer.json()["error_code"]) == (403, "merchant_suspended")
    assert refusal(SignedClient(acme.test_key.key, "sk_test_guess").get(PATH)) == "invalid_credentials"


class TestAddresses:
    @pytest.mark.parametrize(
        ("address", "allowed"),
        [
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("2001:db8::1", True),
            ("11.1.2.3", False),
            ("2001:db9::1", False),
            ("", False),
            ("nonsense", False),
        ],
    )
    def test_the_list(self, acme, address, allowed):
        change(acme, allowed_ips=["10.0.0.0/8", "2001:db8::/32"])
        client = SignedClient(acme.test_key.key, acme.test_key.secret, remote_addr=address)
        answer = client.get(PATH)
        assert answer.status_code == (200 if allowed else 403)
        assert allowed or answer.json()["error_code"] == "address_not_allowed"

    def test_only_the_owner_learns_of_the_list(self, acme):
        change(acme, allowed_ips=["10.0.0.0/8"])
        assert refusal(SignedClient(acme.test_key.key, "sk_test_guess").get(PATH)) == "invalid_credentials"

    def test_a_forwarded_address_is_a_claim_of_the_caller(self, acme, client):
        change(acme, allowed_ips=["10.0.0.0/8"])
        assert client.get(PATH, X_Forwarded_For="10.1.2.3").status_code == 403


class TestScopes:
    def test_a_missing_scope_is_named(self, acme, client):
        change(acme, scopes=["payments:read"])
        answer = client.get(WRITE)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "insufficient_scope")
        assert answer.json()["details"] == {"required_scope": "keys:manage"}
        assert client.post(WRITE, {}).status_code == 403

    def test_every_key_may_look_at_itself(self, acme, client):
        change(acme, scopes=[])
        assert client.get(PATH).json()["data"]["scopes"] == []

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
    def test_methods_that_are_not_served(self, client, method):
        answer = client.request(method, PATH)
        assert (answer.status_code, answer.json()["error_code"]) == (405, "method_not_allowed")


class TestDemoKey:
    @pytest.fixture
    def demo(self, db, settings):
        from merchants import services

        settings.PAYMENT_DEMO = True
        return services.seed_demo_merchant()

    def test_the_literal_key_and_signature_work(self, demo):
        answer = demo_client().get(PATH)
        assert answer.status_code == 200, answer.content
        assert (answer.json()["data"]["email"], answer.json()["data"]["environment"]) == (
            "demo@example.com",
            "test",
        )
        assert demo_client().post(WRITE, {}).status_code == 200  # no nonce, no Idempotency-Key

    def test_any_other_signature_does_not(self, demo):
        for signature in ("test-signature2", "", "v1=" + "0" * 64):
            assert demo_client().get(PATH, X_Signature=signature).status_code == 401

    def test_the_signature_opens_no_other_key(self, demo, client):
        assert refusal(client.get(PATH, X_Signature="test-signature")) == "credentials_incomplete"

    def test_without_the_switch_it_is_unknown(self, demo, settings):
        settings.PAYMENT_DEMO = False
        assert refusal(demo_client().get(PATH)) == "credentials_incomplete"
        stamped = demo_client().get(PATH, X_Timestamp=str(int(time.time())), X_Nonce=uuid.uuid4().hex)
        assert refusal(stamped) == "credentials_incomplete"
        signed = SignedClient("test-api-key", "test-signature").get(PATH)
        assert refusal(signed) == "invalid_credentials"

    def test_without_the_switch_even_its_sealed_secret_signs_nothing(self, demo, settings):
        settings.PAYMENT_DEMO = False
        secret = crypto.unseal(ApiKey.objects.get(public_id="demo").sealed_secret)
        assert refusal(SignedClient("test-api-key", secret).get(PATH)) == "invalid_credentials"

    def test_never_in_live(self, demo):
        demo_client().post(WRITE, {})  # the merchant keeps a test key
        ApiKey.objects.filter(public_id="demo").update(environment="live")
        assert refusal(demo_client().get(PATH)) == "invalid_credentials"

    def test_it_can_be_revoked(self, demo):
        ApiKey.objects.filter(public_id="demo").update(revoked_at=timezone.now())
        assert refusal(demo_client().get(PATH)) == "invalid_credentials"

    def test_without_its_row_it_is_unknown(self, db, settings):
        settings.PAYMENT_DEMO = True
        assert refusal(demo_client().get(PATH)) == "invalid_credentials"


def test_master_keys_rotate_without_anyone_noticing(client, settings):
    from cryptography.fernet import Fernet

    old = settings.PAYMENT_MASTER_KEYS
    settings.PAYMENT_MASTER_KEYS = [Fernet.generate_key().decode(), *old]
    assert client.get(PATH).status_code == 200
    fresh = new_merchant()
    assert SignedClient(fresh.test_key.key, fresh.test_key.secret).get(PATH).status_code == 200
    settings.PAYMENT_MASTER_KEYS = old
    answer = SignedClient(fresh.test_key.key, fresh.test_key.secret).get(PATH)
    assert (answer.status_code, answer.json()["error_code"]) == (500, "internal_error")


def test_texts_are_translated_and_names_are_not(client):
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


def _credentials(client: SignedClient) -> authentication.Credentials:
    headers = {name: value for name, value in client.signed_headers("GET", PATH, b"").items() if value}
    return authentication.read_credentials(RequestFactory().get(PATH, headers=headers))


def _as_arguments(headers):
    return {name.replace("-", "_"): value for name, value in headers.items()}
