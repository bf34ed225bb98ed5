"""Merchants and API keys: constraints and triggers, states, formats."""

import datetime as dt

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from common.errors import ValidationFailed
from merchants import keys, services
from merchants.errors import EmailTaken
from merchants.models import ApiKey, KeyState, Merchant
from merchants.scopes import ALL_SCOPES
from merchants.services import api_keys
from tests.merchants.conftest import new_merchant

# Step 6 of the quick start, as written there.
MERCHANTS_WITHOUT_KEYS = """
SELECT m.id, m.email, COUNT(ak.id) as api_keys_count
FROM merchants m
LEFT JOIN api_keys ak ON m.id = ak.merchant_id
GROUP BY m.id, m.email
HAVING COUNT(ak.id) < 2;
"""


class TestCreateMerchant:
    def test_a_merchant_has_one_key_of_each_environment(self, acme):
        found = ApiKey.objects.filter(merchant=acme.merchant)
        assert sorted(found.values_list("environment", flat=True)) == ["live", "test"]
        assert all(set(key.scopes) == set(ALL_SCOPES) for key in found)
        assert acme.merchant.created_at

    def test_an_email_belongs_to_one_merchant(self, db):
        new_merchant(email="a@example.com")
        with pytest.raises(EmailTaken) as refused:
            new_merchant(email=" A@Example.COM ")
        assert refused.value.details == {"email": "a@example.com"}
        assert Merchant.objects.filter(email="a@example.com").count() == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"email": "nonsense"}, "email"),
            ({"email": ""}, "email"),
            ({"email": "a" * 250 + "@example.com"}, "email"),
            ({"name": " "}, "name"),
            ({"name": "x" * 201}, "name"),
        ],
    )
    def test_an_invalid_field_is_named(self, db, changes, field):
        with pytest.raises(ValidationFailed) as refused:
            new_merchant(**changes)
        assert list(refused.value.details) == [field]


@pytest.mark.django_db(transaction=True)
class TestEveryMerchantHasBothKeys:
    def test_a_merchant_without_keys_is_refused(self):
        with pytest.raises(IntegrityError, match="must have a test key and a live key"):
            Merchant.objects.create(name="Bare", email="bare@example.com")
        assert not Merchant.objects.exists()

    def test_two_keys_of_one_environment_are_refused(self):
        @transaction.atomic
        def make_half() -> None:
            merchant = Merchant.objects.create(name="Half", email="half@example.com")
            for _ in range(2):
                api_keys.insert_key(merchant_id=merchant.pk, environment="test", scopes=[])

        with pytest.raises(IntegrityError, match="must have a test key and a live key"):
            make_half()

    def test_a_key_cannot_be_taken_away_later(self):
        acme, other = new_merchant(), new_merchant()
        mine = ApiKey.objects.filter(pk=acme.test_key.api_key.pk)
        for change in (
            lambda: mine.delete(),
            lambda: mine.update(environment="live"),
            lambda: mine.update(merchant=other.merchant),
        ):
            with pytest.raises(IntegrityError, match="must have a test key and a live key"):
                change()
        with connection.cursor() as cursor:
            cursor.execute(MERCHANTS_WITHOUT_KEYS)
            assert cursor.fetchall() == []

    def test_a_merchant_can_be_deleted_with_its_keys(self):
        acme = new_merchant()
        with transaction.atomic():
            ApiKey.objects.filter(merchant=acme.merchant).delete()
            acme.merchant.delete()
        assert not Merchant.objects.exists()

    def test_a_failure_in_the_middle_stores_nothing(self, monkeypatch):
        def generate_key(environment: str, real=keys.generate_key) -> keys.KeyMaterial:
            if environment == "live":
                raise OSError("no randomness")
            return real(environment)

        monkeypatch.setattr(keys, "generate_key", generate_key)
        with pytest.raises(OSError, match="no randomness"):
            new_merchant()
        assert not Merchant.objects.exists()
        assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        (Merchant, {"status": "gone"}),
        (Merchant, {"email": "Upper@example.com"}),
        (ApiKey, {"environment": "prod"}),
        (ApiKey, {"retires_at": timezone.now(), "replaced_by": None}),
    ],
)
def test_the_database_refuses_invalid_rows(acme, model, columns):
    with pytest.raises(IntegrityError), transaction.atomic():
        model.objects.update(**columns)


def test_states():
    now = timezone.now()
    past, future = now - dt.timedelta(seconds=1), now + dt.timedelta(seconds=1)
    cases = {
        (None, None, None): KeyState.ACTIVE,
        (future, None, None): KeyState.ACTIVE,
        (past, None, None): KeyState.EXPIRED,
        (now, None, None): KeyState.EXPIRED,
        (None, future, None): KeyState.RETIRING,
        (None, now, None): KeyState.RETIRED,
        (past, future, None): KeyState.EXPIRED,
        (past, past, future): KeyState.REVOKED,
    }
    for (expires_at, retires_at, revoked_at), state in cases.items():
        key = ApiKey(expires_at=expires_at, retires_at=retires_at, revoked_at=revoked_at)
        assert key.state_at(now) == state
        assert key.is_usable_at(now) is (state in (KeyState.ACTIVE, KeyState.RETIRING))


class TestKeyFormat:
    def test_the_prefix_names_kind_and_environment(self):
        made = keys.generate_key("live")
        assert made.key.startswith(f"pk_live_{made.public_id}_")
        assert made.secret.startswith("sk_live_")
        assert len(made.key) <= keys.MAX_KEY_LENGTH

    def test_the_checksum_finds_every_single_typing_error(self):
        for text in (keys.generate_key("test").key, keys.generate_key("test").secret):
            assert keys.is_well_formed(text)
            for index in range(len(text)):
                wrong = text[:index] + ("x" if text[index] != "x" else "y") + text[index + 1 :]
                assert not keys.is_well_formed(wrong)
        assert not keys.is_well_formed("")
        assert not keys.is_well_formed(keys.DEMO_KEY)

    def test_generated_keys_are_unique(self):
        made = [keys.generate_key("test") for _ in range(1000)]
        for part in ("public_id", "key", "secret"):
            assert len({getattr(each, part) for each in made}) == 1000


class TestDemoMerchant:
    def test_seeding_twice_changes_nothing(self, db):
        first, second = services.seed_demo_merchant(), services.seed_demo_merchant()
        assert first.pk == second.pk
        assert sorted(ApiKey.objects.values_list("environment", flat=True)) == ["live", "test"]

    def test_seeding_repairs_the_key(self, db, settings):
        merchant = services.seed_demo_merchant()
        demo = ApiKey.objects.get(public_id="demo")
        services.rotate_key(merchant_id=merchant.pk, environment="test", key_id=demo.pk, rotated_by=None)
        services.revoke_key(merchant_id=merchant.pk, environment="test", key_id=demo.pk)
        settings.SECRET_KEY = "a new one"
        services.seed_demo_merchant()
        demo.refresh_from_db()
        assert demo.state_at(timezone.now()) == KeyState.ACTIVE
        assert demo.key_hash == keys.hash_key("test-api-key")
