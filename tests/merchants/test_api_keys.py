"""A merchant manages its keys."""

import contextlib
import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections
from django.utils import timezone

from common.clock import database_now
from merchants import services
from merchants.errors import InvalidCredentials, LastManagingKey
from merchants.models import ApiKey
from merchants.scopes import ALL_SCOPES
from merchants.services import api_keys
from tests.merchants.conftest import data, error, new_merchant
from tests.support.signing import SignedClient

PATH = "/api/v1/merchant"
KEYS = "/api/v1/merchant/api-keys"


class TestIssue:
    def test_the_new_key_works(self, client):
        new = data(client.post(KEYS, {"label": "shop"}))
        assert new["key"].startswith("pk_test_")
        assert new["secret"].startswith("sk_test_")
        assert (new["label"], new["status"], new["environment"]) == ("shop", "active", "test")
        seen = data(SignedClient(new["key"], new["secret"]).get(PATH))
        assert seen["key_id"] == new["id"]
        assert seen["scopes"] == sorted(ALL_SCOPES)

    def test_the_response_with_the_secret_is_not_cached(self, client):
        assert client.post(KEYS, {})["Cache-Control"] == "no-store"

    def test_a_key_with_fewer_scopes_networks_and_an_expiry(self, client):
        wanted = {
            "scopes": ["payments:read", "keys:manage"],
            "allowed_ips": ["10.0.0.1", "10.1.2.3/8", "2001:DB8::/32"],
            "expires_at": "2030-01-31T00:00:00+08:00",
        }
        new = data(client.post(KEYS, wanted))
        assert new["scopes"] == ["keys:manage", "payments:read"]
        assert new["allowed_ips"] == ["10.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"]
        assert dt.datetime.fromisoformat(new["expires_at"]) == dt.datetime(2030, 1, 30, 16, tzinfo=dt.UTC)

    def test_a_live_key_makes_live_keys(self, live_client):
        new = data(live_client.post(KEYS, {}))
        assert new["key"].startswith("pk_live_")
        assert new["environment"] == "live"

    def test_a_key_cannot_grant_a_scope_that_it_lacks(self, client):
        small = data(client.post(KEYS, {"scopes": ["keys:manage", "payments:read"]}))
        clerk = SignedClient(small["key"], small["secret"])
        answer = clerk.post(KEYS, {"scopes": ["keys:manage", "refunds:write"]})
        assert error(answer) == (403, "insufficient_scope")
        assert answer.json()["details"] == {"required_scopes": ["refunds:write"]}
        assert data(clerk.post(KEYS, {}))["scopes"] == ["keys:manage", "payments:read"]
        everything = data(client.get(PATH))["key_id"]
        assert error(clerk.post(f"{KEYS}/{everything}/rotate")) == (403, "insufficient_scope")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"label": "x" * 101}, "label"),
            ({"label": 5}, "label"),
            ({"label": None}, "label"),
            ({"scopes": []}, "scopes"),
            ({"scopes": "keys:manage"}, "scopes"),
            ({"scopes": ["everything"]}, "scopes.0"),
            ({"scopes": [None]}, "scopes.0"),
            ({"scopes": [{}]}, "scopes.0"),
            ({"scopes": ["keys:manage"] * (len(ALL_SCOPES) + 1)}, "scopes"),
            ({"allowed_ips": ["10.0.0.0/33"]}, "allowed_ips.0"),
            ({"allowed_ips": ["example.com"]}, "allowed_ips.0"),
            ({"allowed_ips": [167772160]}, "allowed_ips.0"),
            ({"allowed_ips": ["fe80::1%eth0"]}, "allowed_ips.0"),
            ({"allowed_ips": ["10.0.0.1"] * 51}, "allowed_ips"),
            ({"expires_at": "2030-01-31"}, "expires_at"),
            ({"expires_at": "2030-01-31T00:00:00"}, "expires_at"),
            ({"expires_at": "2020-01-31T00:00:00Z"}, "expires_at"),
            ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
            ({"expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at"),
            ({"expires_at": 1893456000}, "expires_at"),
            ({"environment": "live"}, "environment"),
            ({"label": "a\x00b"}, "label"),
        ],
    )
    @pytest.mark.parametrize("idempotency_key", [None, "k"])
    def test_an_invalid_field_is_named_and_no_key_is_made(self, client, acme, body, field, idempotency_key):
        answer = client.post(KEYS, body, idempotency_key=idempotency_key)
        assert answer.status_code == 400, answer.content
        assert field in answer.json()["details"]
        assert ApiKey.objects.filter(merchant=acme.merchant).count() == 2

    @pytest.mark.parametrize("body", [[], "x", None, 5, True])
    def test_a_body_that_is_no_object_is_refused(self, client, body):
        assert error(client.post(KEYS, body)) == (400, "validation_failed")

    def test_an_absent_body_counts_as_empty(self, client):
        assert data(client.post(KEYS))["scopes"] == sorted(ALL_SCOPES)

    def test_the_number_of_keys_is_limited(self, client, monkeypatch):
        monkeypatch.setattr(api_keys, "MAX_USABLE_KEYS", 2)
        assert data(client.post(KEYS, {}))
        assert error(client.post(KEYS, {})) == (409, "too_many_api_keys")


class TestRestrictionsAreInherited:
    """A key that is restricted by address, expiry or scope cannot make a key that is not."""

    HERE, OTHER_NETWORK = "127.0.0.0/8", "203.0.113.0/24"

    def restricted(self, client: SignedClient, **restrictions) -> tuple[SignedClient, dict]:
        key = data(client.post(KEYS, restrictions))
        return SignedClient(key["key"], key["secret"]), key

    def test_networks_are_inherited(self, client):
        bound, key = self.restricted(client, allowed_ips=[self.HERE, "10.1.0.0/16"])
        assert data(bound.post(KEYS, {}))["allowed_ips"] == key["allowed_ips"]
        assert data(bound.post(KEYS, {"allowed_ips": []}))["allowed_ips"] == key["allowed_ips"]
        assert data(bound.post(KEYS, {"allowed_ips": ["10.1.2.3"]}))["allowed_ips"] == ["10.1.2.3/32"]
        for wider in (["0.0.0.0/0"], ["127.0.0.1", self.OTHER_NETWORK], ["::/0"]):
            answer = bound.post(KEYS, {"allowed_ips": wider})
            assert error(answer) == (403, "key_wider_than_issuer")
            assert answer.json()["details"]["allowed_ips"] == wider[-1:]

    def test_the_expiry_is_inherited(self, client):
        soon = timezone.now() + dt.timedelta(days=1)
        bound, key = self.restricted(client, expires_at=soon.isoformat())
        assert data(bound.post(KEYS, {}))["expires_at"] == key["expires_at"]
        assert data(bound.post(KEYS, {"expires_at": None}))["expires_at"] == key["expires_at"]
        sooner = {"expires_at": (soon - dt.timedelta(hours=1)).isoformat()}
        assert data(bound.post(KEYS, sooner))["expires_at"] < key["expires_at"]
        later = bound.post(KEYS, {"expires_at": (soon + dt.timedelta(seconds=1)).isoformat()})
        assert error(later) == (403, "key_wider_than_issuer")

    def test_a_retiring_key_cannot_issue_a_key_that_lasts_longer(self, client, acme):
        rotated = data(client.post(f"{KEYS}/{acme.test_key.api_key.pk}/rotate"))
        assert data(client.post(KEYS, {}))["expires_at"] == rotated["replaces"]["retires_at"]

    def test_a_key_cannot_prolong_itself(self, client):
        soon = timezone.now() + dt.timedelta(days=1)
        bound, key = self.restricted(client, expires_at=soon.isoformat())
        ApiKey.objects.filter(pk=key["id"]).update(created_at=timezone.now() - dt.timedelta(days=30))
        assert data(bound.post(f"{KEYS}/{key['id']}/rotate"))["expires_at"] == key["expires_at"]

    def test_a_restricted_key_rotates_only_equally_restricted_keys(self, client, acme):
        bound, key = self.restricted(client, allowed_ips=[self.HERE])
        unbound = f"{KEYS}/{acme.test_key.api_key.pk}/rotate"
        assert error(bound.post(unbound)) == (403, "key_wider_than_issuer")
        assert data(bound.post(f"{KEYS}/{key['id']}/rotate"))["allowed_ips"] == [self.HERE]
        brief, key = self.restricted(client, expires_at=(timezone.now() + dt.timedelta(days=1)).isoformat())
        assert error(brief.post(unbound)) == (403, "key_wider_than_issuer")
        assert data(brief.post(f"{KEYS}/{key['id']}/rotate"))

    def test_a_key_revoked_since_it_was_authenticated_issues_nothing(self, client, acme):
        other = data(client.post(KEYS, {}))
        services.revoke_key(merchant_id=acme.merchant.pk, environment="test", key_id=other["id"])
        with pytest.raises(InvalidCredentials):
            services.issue_key(merchant_id=acme.merchant.pk, environment="test", issued_by=other["id"])


class TestReplay:
    """A replay shows the key without the secret, which only the first response has."""

    def test_the_key_is_made_once_and_shown_once(self, client, acme):
        first = data(client.post(KEYS, {"label": "a"}, idempotency_key="k"))
        answer = client.post(KEYS, {"label": "a"}, idempotency_key="k")
        replay = data(answer)
        assert answer["Idempotent-Replayed"] == "true"
        assert (replay["key"], replay["secret"]) == (None, None)
        assert replay["note"] != first["note"]
        hidden = {"key", "secret", "note"}
        assert {k: v for k, v in replay.items() if k not in hidden} == {
            k: v for k, v in first.items() if k not in hidden
        }
        assert ApiKey.objects.filter(merchant=acme.merchant).count() == 3

    def test_another_body_is_refused(self, client):
        data(client.post(KEYS, {"label": "a"}, idempotency_key="k"))
        assert error(client.post(KEYS, {"label": "b"}, idempotency_key="k")) == (
            422,
            "idempotency_key_reused",
        )

    def test_rotation_and_revocation_are_replayed(self, client, acme):
        new = data(client.post(KEYS, {}))
        rotated = [data(client.post(f"{KEYS}/{new['id']}/rotate", idempotency_key="r")) for _ in range(2)]
        assert rotated[0]["id"] == rotated[1]["id"]
        assert [bool(each["secret"]) for each in rotated] == [True, False]
        revoked = [client.post(f"{KEYS}/{new['id']}/revoke", idempotency_key="v").content for _ in range(2)]
        assert revoked[0] == revoked[1]
        assert ApiKey.objects.filter(merchant=acme.merchant).count() == 4

    def test_the_same_key_for_another_target_is_refused(self, client):
        one, two = data(client.post(KEYS, {})), data(client.post(KEYS, {}))
        data(client.post(f"{KEYS}/{one['id']}/revoke", idempotency_key="v"))
        answer = client.post(f"{KEYS}/{two['id']}/revoke", idempotency_key="v")
        assert error(answer) == (422, "idempotency_key_reused")


class TestRotate:
    def test_both_work_during_the_overlap(self, client, acme):
        old_id = acme.test_key.api_key.pk
        new = data(client.post(f"{KEYS}/{old_id}/rotate"))
        fresh = SignedClient(new["key"], new["secret"])
        assert (data(client.get(PATH))["key_id"], data(fresh.get(PATH))["key_id"]) == (str(old_id), new["id"])
        assert (new["replaces"]["id"], new["replaces"]["status"]) == (str(old_id), "retiring")
        assert new["replaces"]["replaced_by"] == new["id"]
        left = dt.datetime.fromisoformat(new["replaces"]["retires_at"]) - timezone.now()
        assert dt.timedelta(hours=23, minutes=50) < left < dt.timedelta(hours=24)
        assert (new["scopes"], new["label"]) == (new["replaces"]["scopes"], new["replaces"]["label"])

    def test_the_old_key_ends_with_the_overlap(self, client, acme):
        new = data(client.post(f"{KEYS}/{acme.test_key.api_key.pk}/rotate", {"overlap_seconds": 0}))
        assert new["replaces"]["status"] == "retired"
        assert error(client.get(PATH)) == (401, "invalid_credentials")
        assert data(SignedClient(new["key"], new["secret"]).get(PATH))

    def test_the_lifetime_is_renewed(self, client):
        day = dt.timedelta(days=1)
        new = data(client.post(KEYS, {"expires_at": (timezone.now() + day).isoformat()}))
        ApiKey.objects.filter(pk=new["id"]).update(
            created_at=timezone.now() - day
        )  # it was issued for two days
        rotated = data(client.post(f"{KEYS}/{new['id']}/rotate"))
        life = dt.datetime.fromisoformat(rotated["expires_at"]) - dt.datetime.fromisoformat(
            rotated["created_at"]
        )
        assert abs(life - 2 * day) < dt.timedelta(minutes=10)

    def test_only_an_active_key_is_rotated_and_only_once(self, client, acme):
        new = data(client.post(KEYS, {}))
        address = f"{KEYS}/{new['id']}/rotate"
        data(client.post(address))
        answer = client.post(address)
        assert error(answer) == (409, "api_key_not_usable")
        assert answer.json()["details"] == {"status": "retiring"}
        data(client.post(f"{KEYS}/{new['id']}/revoke"))
        assert error(client.post(address)) == (409, "api_key_not_usable")

    @pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "1", 1.5, True, None, 10**30])
    def test_the_overlap_has_bounds(self, client, acme, overlap):
        answer = client.post(f"{KEYS}/{acme.test_key.api_key.pk}/rotate", {"overlap_seconds": overlap})
        assert answer.status_code == 400
        assert "overlap_seconds" in answer.json()["details"]


class TestRevoke:
    def test_a_revoked_key_ends_at_once(self, client):
        new = data(client.post(KEYS, {}))
        assert data(client.post(f"{KEYS}/{new['id']}/revoke"))["status"] == "revoked"
        assert error(SignedClient(new["key"], new["secret"]).get(PATH)) == (401, "invalid_credentials")

    def test_a_second_revocation_changes_nothing(self, client):
        new = data(client.post(KEYS, {}))
        first, second = (data(client.post(f"{KEYS}/{new['id']}/revoke")) for _ in range(2))
        assert first == second

    def test_the_last_key_cannot_be_revoked(self, client, acme):
        answer = client.post(f"{KEYS}/{acme.test_key.api_key.pk}/revoke")
        assert error(answer) == (409, "last_managing_key")
        assert data(client.get(PATH))

    @pytest.mark.parametrize(
        "restrictions",
        [
            {"allowed_ips": ["127.0.0.0/8"]},
            {"scopes": ["payments:read", "payments:write"]},
            {"expires_at": "2030-01-31T00:00:00Z"},
        ],
        ids=lambda restrictions: next(iter(restrictions)),
    )
    def test_the_last_key_that_manages_keys_from_anywhere_cannot_be_revoked(self, client, acme, restrictions):
        address = f"{KEYS}/{acme.test_key.api_key.pk}/revoke"
        other = data(client.post(KEYS, restrictions))
        assert error(client.post(address)) == (409, "last_managing_key")
        assert data(client.post(f"{KEYS}/{other['id']}/revoke"))
        data(client.post(KEYS, {}))
        assert data(client.post(address))["status"] == "revoked"

    def test_a_retiring_key_does_not_count_as_remaining(self, client, acme):
        new = data(client.post(f"{KEYS}/{acme.test_key.api_key.pk}/rotate"))
        assert error(client.post(f"{KEYS}/{new['id']}/revoke")) == (409, "last_managing_key")
        assert data(client.post(f"{KEYS}/{acme.test_key.api_key.pk}/revoke"))  # the old one may go early

    def test_a_key_can_revoke_itself_if_another_remains(self, client, acme):
        data(client.post(KEYS, {}))
        data(client.post(f"{KEYS}/{acme.test_key.api_key.pk}/revoke"))
        assert client.get(PATH).status_code == 401

    def test_staff_can_revoke_a_stolen_last_key(self, acme):
        wanted = {
            "merchant_id": acme.merchant.pk,
            "environment": "test",
            "key_id": acme.test_key.api_key.pk,
        }
        with pytest.raises(LastManagingKey):
            services.revoke_key(**wanted)
        assert services.revoke_key(**wanted, allow_last=True).revoked_at

    def test_a_body_with_fields_is_refused(self, client, acme):
        answer = client.post(f"{KEYS}/{acme.test_key.api_key.pk}/revoke", {"reason": "x"})
        assert error(answer) == (400, "validation_failed")

    @pytest.mark.django_db(transaction=True)
    def test_two_revocations_at_once_never_end_the_last_two_keys(self, monkeypatch):
        both_are_here = threading.Barrier(2)

        def wait_for_the_other() -> dt.datetime:
            """Without the lock, both would read before either writes."""
            with contextlib.suppress(threading.BrokenBarrierError):
                both_are_here.wait(timeout=2)
            return database_now()

        acme = new_merchant()
        client = SignedClient(acme.test_key.key, acme.test_key.secret)
        other = data(client.post(KEYS, {}))
        monkeypatch.setattr(api_keys, "database_now", wait_for_the_other)
        both = [SignedClient(other["key"], other["secret"]), client]

        def revoke(pair: tuple[SignedClient, str]) -> int:
            try:
                return pair[0].post(f"{KEYS}/{pair[1]}/revoke").status_code
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as pool:
            statuses = sorted(
                pool.map(revoke, zip(both, [other["id"], acme.test_key.api_key.pk], strict=True))
            )
        assert statuses == [200, 409]
