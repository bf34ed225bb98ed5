"""After `manage.py reseal`, the older master keys can be removed."""

import io

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from common import crypto, resealing
from common.secret_columns import sealed_columns
from merchants.models import ApiKey
from merchants.services import create_merchant
from staff.models import Authenticator
from webhooks.models import WebhookEndpoint

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old_key(settings) -> str:
    """Seals the secrets of three merchants with the only master key, then puts a new one in front of it."""
    for number in range(3):
        create_merchant(name=f"Shop {number}", email=f"shop{number}@example.com")
    old: str = settings.PAYMENT_MASTER_KEYS[0]
    settings.PAYMENT_MASTER_KEYS = [Fernet.generate_key().decode(), old]
    return old


def reseal() -> str:
    output = io.StringIO()
    call_command("reseal", stdout=output)
    return output.getvalue()


def test_the_old_master_key_can_be_removed(old_key, settings):
    before = {key.pk: (key.sealed_secret, crypto.unseal(key.sealed_secret)) for key in ApiKey.objects.all()}
    assert "api_keys" in reseal()
    settings.PAYMENT_MASTER_KEYS = settings.PAYMENT_MASTER_KEYS[:1]
    assert len(before) >= 6
    for key in ApiKey.objects.all():
        sealed, secret = before[key.pk]
        assert key.sealed_secret != sealed
        assert crypto.unseal(key.sealed_secret) == secret


def test_a_run_that_died_is_continued_and_a_repetition_changes_nothing(old_key, monkeypatch):
    monkeypatch.setattr(resealing, "BATCH_ROWS", 2)
    steps = resealing.reseal_all_tables()
    while not (progress := next(steps)).resealed:
        """The first batch that has sealed values; then the process dies."""
    assert progress.resealed == 2
    steps.close()
    resealed = {key.pk: key.sealed_secret for key in ApiKey.objects.all()}
    reseal()
    again = {key.pk: key.sealed_secret for key in ApiKey.objects.all()}
    assert sum(resealed[pk] == again[pk] for pk in again) == 2
    reseal()
    assert {key.pk: key.sealed_secret for key in ApiKey.objects.all()} == again


def test_a_rotation_meanwhile_is_not_overwritten(old_key, monkeypatch):
    victim = ApiKey.objects.first()
    assert victim is not None
    rotated = crypto.seal("rotated meanwhile")

    def rotate_and_reseal(sealed: str) -> str | None:
        if sealed == victim.sealed_secret:
            ApiKey.objects.filter(pk=victim.pk).update(sealed_secret=rotated)
        return crypto.reseal(sealed)

    monkeypatch.setattr(resealing, "reseal", rotate_and_reseal)
    with pytest.raises(CommandError, match="1 rows changed"):
        reseal()
    assert ApiKey.objects.get(pk=victim.pk).sealed_secret == rotated


def test_a_secret_that_no_key_opens_is_named_and_the_others_are_done(old_key, settings):
    lost = crypto.Fernet(Fernet.generate_key()).encrypt(b"lost").decode()
    victim = ApiKey.objects.first()
    assert victim is not None
    ApiKey.objects.filter(pk=victim.pk).update(sealed_secret=lost)
    with pytest.raises(CommandError, match="1 rows cannot be read"):
        reseal()
    settings.PAYMENT_MASTER_KEYS = settings.PAYMENT_MASTER_KEYS[:1]
    for key in ApiKey.objects.exclude(pk=victim.pk):
        crypto.unseal(key.sealed_secret)


def test_every_column_that_holds_a_sealed_value_is_found_by_its_name():
    """A column of another name would stay under the old key."""
    assert sealed_columns(ApiKey) == ["sealed_secret"]
    assert sealed_columns(WebhookEndpoint) == ["sealed_secret", "previous_sealed_secret"]
    assert sealed_columns(Authenticator) == ["sealed_key"]
