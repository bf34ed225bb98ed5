"""Admission of signed requests: unusable keys, suspended merchants, networks, scopes, the demo key."""

import datetime as dt
import time
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common import crypto
from merchants import authentication
from merchants.models import ApiKey, Merchant, MerchantStatus
from tests.merchants.conftest import refusal
from tests.support.signing import SignedClient, demo_client

PATH = "/api/v1/merchant"
WRITE = "/api/v1/merchant/api-keys"


def change(acme, **columns) -> None:
    ApiKey.objects.filter(pk=acme.test_key.api_key.pk).update(**columns)


class TestUnusableKeys:
    """A stranger gets the same answer for every unusable key."""

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

    def test_all_refusals_have_the_same_text(self, refusals, client):
        bodies = []
        for name, answer in refusals():
            assert refusal(answer) == "invalid_credentials", name
            body = answer.json()
            # For a usable test key, the details show the text that we signed (ADR 20).
            assert list(body.pop("details")) == (["canonical_string"] if name == "wrong secret" else []), name
            bodies.append({**body, "request_id": None})
        assert all(body == bodies[0] for body in bodies)
        assert len(bodies) == 6
        assert client.get(PATH).status_code == 200

    def test_all_refusals_do_the_same_work(self, refusals, client, monkeypatch):
        """One statement, one unsealing and one MAC for known and unknown keys: the time reveals nothing."""
        client.get(PATH), SignedClient("pk_test_unknown", "x").get(PATH)  # connections and the decoy are warm
        work = {"unseal": 0, "mac": 0}

        def counted(name, function):
            def count(*args, **kwargs):
                work[name] += 1
                return function(*args, **kwargs)

            return count

        monkeypatch.setattr(crypto, "unseal", counted("unseal", crypto.unseal))
        monkeypatch.setattr(
            authentication, "compute_signature", counted("mac", authentication.compute_signature)
        )
        steps = refusals()
        for _ in range(6):
            work.update(unseal=0, mac=0)
            with CaptureQueriesContext(connection) as queries:
                name, _answer = next(steps)
            selects = [query for query in queries if "api_keys" in query["sql"] and "SELECT" in query["sql"]]
            assert (len(selects), work) == (1, {"unseal": 1, "mac": 1}), name

    def test_a_key_works_until_it_expires(self, acme, client):
        soon = timezone.now() + dt.timedelta(minutes=1)
        change(acme, expires_at=soon, retires_at=soon, replaced_by=acme.live_key.api_key.pk)
        assert client.get(PATH).status_code == 200


def test_only_the_key_holder_learns_that_the_merchant_is_suspended(acme, client):
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
    def test_only_allowed_addresses_are_admitted(self, acme, address, allowed):
        change(acme, allowed_ips=["10.0.0.0/8", "2001:db8::/32"])
        client = SignedClient(acme.test_key.key, acme.test_key.secret, remote_addr=address)
        answer = client.get(PATH)
        assert answer.status_code == (200 if allowed else 403)
        assert allowed or answer.json()["error_code"] == "address_not_allowed"

    def test_only_the_key_holder_learns_of_the_address_list(self, acme):
        change(acme, allowed_ips=["10.0.0.0/8"])
        assert refusal(SignedClient(acme.test_key.key, "sk_test_guess").get(PATH)) == "invalid_credentials"

    def test_a_forwarded_address_is_not_trusted(self, acme, client):
        change(acme, allowed_ips=["10.0.0.0/8"])
        assert client.get(PATH, X_Forwarded_For="10.1.2.3").status_code == 403

    @pytest.mark.parametrize(
        ("forwarded", "allowed"),
        [
            ("10.1.2.3", True),
            ("10.1.2.3, 192.168.0.9", True),  # two proxies of ours
            ("::ffff:10.1.2.3", True),
            ("10.1.2.3, 11.1.2.3", False),  # the caller's own claim stands before its address
            ("11.1.2.3", False),
            ("10.1.2.3, unknown", False),
            (None, False),
        ],
    )
    def test_our_proxies_are_trusted(self, acme, settings, forwarded, allowed):
        settings.TRUSTED_PROXIES = ["192.168.0.0/16"]
        change(acme, allowed_ips=["10.0.0.0/8"])
        client = SignedClient(acme.test_key.key, acme.test_key.secret, remote_addr="192.168.0.1")
        assert client.get(PATH, X_Forwarded_For=forwarded).status_code == (200 if allowed else 403)

    def test_other_senders_are_not_trusted_although_there_are_proxies(self, acme, settings):
        settings.TRUSTED_PROXIES = ["192.168.0.0/16"]
        change(acme, allowed_ips=["10.0.0.0/8"])
        client = SignedClient(acme.test_key.key, acme.test_key.secret, remote_addr="11.1.2.3")
        assert client.get(PATH, X_Forwarded_For="10.1.2.3").status_code == 403


class TestScopes:
    def test_a_missing_scope_is_named(self, acme, client):
        change(acme, scopes=["payments:read"])
        answer = client.get(WRITE)
        assert (answer.status_code, answer.json()["error_code"]) == (403, "insufficient_scope")
        assert answer.json()["details"] == {"required_scope": "keys:manage"}
        assert client.post(WRITE, {}).status_code == 403

    def test_every_key_can_read_its_merchant(self, acme, client):
        change(acme, scopes=[])
        assert client.get(PATH).json()["data"]["scopes"] == []

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
    def test_unknown_methods_are_refused(self, client, method):
        answer = client.request(method, PATH)
        assert (answer.status_code, answer.json()["error_code"]) == (405, "method_not_allowed")


class TestDemoKey:
    @pytest.fixture
    def demo(self, transactional_db, settings):
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

    def test_any_other_signature_is_refused(self, demo):
        for signature in ("test-signature2", "", "v1=" + "0" * 64):
            assert demo_client().get(PATH, X_Signature=signature).status_code == 401

    def test_the_literal_signature_works_for_no_other_key(self, demo, client):
        assert refusal(client.get(PATH, X_Signature="test-signature")) == "credentials_incomplete"

    def test_without_payment_demo_the_key_is_unknown(self, demo, settings):
        settings.PAYMENT_DEMO = False
        assert refusal(demo_client().get(PATH)) == "credentials_incomplete"
        stamped = demo_client().get(PATH, X_Timestamp=str(int(time.time())), X_Nonce=uuid.uuid4().hex)
        assert refusal(stamped) == "credentials_incomplete"
        signed = SignedClient("test-api-key", "test-signature").get(PATH)
        assert refusal(signed) == "invalid_credentials"

    def test_without_payment_demo_its_sealed_secret_signs_nothing(self, demo, settings):
        settings.PAYMENT_DEMO = False
        secret = crypto.unseal(ApiKey.objects.get(public_id="demo").sealed_secret)
        assert refusal(SignedClient("test-api-key", secret).get(PATH)) == "invalid_credentials"

    def test_the_literal_key_never_works_in_live(self, demo):
        demo_client().post(WRITE, {})  # the merchant keeps a test key
        ApiKey.objects.filter(public_id="demo").update(environment="live")
        assert refusal(demo_client().get(PATH)) == "invalid_credentials"

    def test_the_literal_key_can_be_revoked(self, demo):
        ApiKey.objects.filter(public_id="demo").update(revoked_at=timezone.now())
        assert refusal(demo_client().get(PATH)) == "invalid_credentials"

    def test_without_its_row_the_literal_key_is_unknown(self, db, settings):
        settings.PAYMENT_DEMO = True
        assert refusal(demo_client().get(PATH)) == "invalid_credentials"
