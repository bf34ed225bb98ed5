"""Rotation with overlap, the cache of a process, and which account serves a payment."""

import datetime as dt
import time
import uuid
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import IntegrityError
from django.utils import timezone

from channel_accounts import loaded_accounts, selectors, services, serving
from channel_accounts.credentials import unseal_credentials
from channel_accounts.errors import TooManyAccounts
from channel_accounts.loaded_accounts import UnknownAccount, load_account
from channel_accounts.models import AccountStatus, CredentialCheckResult, StoredChannelAccount
from channel_accounts.services import CheckedCredentials
from channels.stripe.config import get_webhook_secrets
from common.errors import ValidationFailed
from common.ids import uuid7
from merchants.services import NewMerchant
from tests.channel_accounts.accounts import CREDENTIALS, NEW_CREDENTIALS

pytestmark = pytest.mark.django_db(transaction=True)

OLD = CheckedCredentials(CredentialCheckResult.ACCEPTED, "", "", CREDENTIALS)
NEW = CheckedCredentials(CredentialCheckResult.ACCEPTED, "", "", NEW_CREDENTIALS)


def add(merchant_id: uuid.UUID | None = None, **changes: Any) -> StoredChannelAccount:
    wanted = {"environment": "test", "channel": "stripe", "display_name": "Shop", "checked": OLD, **changes}
    return services.create_account(merchant_id=merchant_id, account_id=uuid7(), **wanted)


def let_the_overlap_end(account: StoredChannelAccount) -> None:
    past = timezone.now() - dt.timedelta(seconds=1)
    StoredChannelAccount.objects.filter(pk=account.pk).update(previous_credentials_until=past)
    loaded_accounts.clear_cache()


def test_webhooks_of_both_credentials_are_accepted_during_the_overlap() -> None:
    account = add()
    services.rotate_credentials(account_id=account.id, checked=NEW)
    loaded = load_account(account.id).account
    assert loaded.credentials == NEW_CREDENTIALS
    old, new = CREDENTIALS["webhook_secrets"], NEW_CREDENTIALS["webhook_secrets"]
    assert get_webhook_secrets(loaded) == [new, old]
    let_the_overlap_end(account)
    assert get_webhook_secrets(load_account(account.id).account) == [new]


def test_a_rotation_without_overlap_ends_the_previous_credentials_at_once() -> None:
    account = add()
    services.rotate_credentials(account_id=account.id, checked=NEW)
    services.rotate_credentials(account_id=account.id, checked=OLD, overlap=dt.timedelta(0))
    assert load_account(account.id).account.previous_credentials == {}
    assert StoredChannelAccount.objects.get().previous_sealed_credentials == ""


def test_a_repeated_rotation_keeps_the_previous_credentials() -> None:
    """The caller lost the first answer and repeats the rotation. Channels still sign with the old secret."""
    account = add()
    for _time in range(2):
        services.rotate_credentials(account_id=account.id, checked=NEW)
        assert load_account(account.id).account.previous_credentials == CREDENTIALS


def test_a_check_of_credentials_that_were_rotated_meanwhile_is_not_recorded() -> None:
    account = add()
    services.rotate_credentials(account_id=account.id, checked=NEW)
    refused = CheckedCredentials(CredentialCheckResult.REFUSED, "", "", CREDENTIALS)
    assert services.record_check(account_id=account.id, checked=refused).last_check_result == "accepted"
    assert StoredChannelAccount.objects.get().last_check_result == "accepted"


def test_the_cache_loads_an_account_once_until_this_process_writes(django_assert_num_queries: Any) -> None:
    account = add()
    load_account(account.id)
    with django_assert_num_queries(0):
        assert load_account(account.id).is_active
    services.set_account_status(account_id=account.id, status=AccountStatus.DISABLED)
    assert not load_account(account.id).is_active
    with pytest.raises(UnknownAccount):
        load_account(uuid.uuid4())


def test_another_process_sees_a_write_after_a_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    account = add()
    assert load_account(account.id).display_name == "Shop"
    StoredChannelAccount.objects.filter(pk=account.pk).update(display_name="Shop 2")
    assert load_account(account.id).display_name == "Shop"
    later = time.monotonic() + loaded_accounts.CACHE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert load_account(account.id).display_name == "Shop 2"


def test_a_row_that_was_read_before_a_write_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The write commits after a reader's statement and before the reader fills the cache."""
    account = add()
    find = selectors.find_account

    def find_and_write(account_id: uuid.UUID) -> StoredChannelAccount | None:
        row = find(account_id)
        services.set_account_status(account_id=account_id, status=AccountStatus.DISABLED)
        return row

    with monkeypatch.context() as racing:
        racing.setattr(selectors, "find_account", find_and_write)
        assert load_account(account.id).is_active
    assert not load_account(account.id).is_active


def choose(merchant: NewMerchant) -> uuid.UUID | None:
    return serving.choose_account(
        merchant_id=merchant.merchant.pk, environment="test", channel="stripe", payment_method="card"
    )


def test_a_merchants_own_account_comes_first(acme: NewMerchant) -> None:
    """The order is: the merchant's own account, one that the platform added for it, the platform's own account. An
    account of another merchant is never used."""
    assert choose(acme) is None
    shared = add()
    assert choose(acme) == shared.id
    own = add(acme.merchant.pk)
    newer = add(acme.merchant.pk)
    assert choose(acme) == newer.id
    services.set_account_status(account_id=newer.id, status=AccountStatus.DISABLED)
    assert choose(acme) == own.id
    services.set_account_status(account_id=own.id, status=AccountStatus.DISABLED)
    # The caller refuses it: the money never goes to the platform's account.
    assert choose(acme) == newer.id


def test_a_webhook_token_finds_its_account_at_its_channel_alone() -> None:
    account = add()
    found = serving.find_webhook_channel("stripe", account.webhook_token)
    assert found is not None
    assert serving.find_webhook_channel("wechat", account.webhook_token) is None
    assert serving.find_webhook_channel("stripe", "") is None
    assert serving.find_webhook_channel("stripe", "guessed") is None


def test_the_owner_of_an_account_never_changes(acme: NewMerchant) -> None:
    account = add()
    for change in ({"merchant": acme.merchant}, {"environment": "live"}, {"channel": "wechat"}):
        with pytest.raises(IntegrityError, match="for good"):
            StoredChannelAccount.objects.filter(pk=account.pk).update(**change)


def test_the_same_id_adds_one_account() -> None:
    account_id = uuid7()
    for _time in range(2):
        services.create_account(
            merchant_id=None,
            environment="test",
            channel="stripe",
            display_name="Shop",
            checked=OLD,
            account_id=account_id,
        )
    assert StoredChannelAccount.objects.count() == 1


def test_the_limit_is_per_merchant_channel_and_environment(
    acme: NewMerchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "MAX_ACCOUNTS", 1)
    add()
    add(acme.merchant.pk)
    add(acme.merchant.pk, environment="live")
    add(acme.merchant.pk, channel="wechat")
    for merchant_id in (None, acme.merchant.pk):
        with pytest.raises(TooManyAccounts):
            add(merchant_id)


def test_methods_must_be_offered_by_the_channel() -> None:
    with pytest.raises(ValidationFailed) as refused:
        add(payment_methods=["card", "cash"])
    assert list(refused.value.details) == ["payment_methods"]
    assert not StoredChannelAccount.objects.exists()


def test_the_number_of_an_account_is_the_one_that_its_channel_uses() -> None:
    number = services._find_account_no("wechat", {"mch_id": "1900000001", "app_id": "wx1"})
    assert number == "1900000001"
    assert services._find_account_no("stripe", CREDENTIALS) == ""


def test_a_new_master_key_reseals_current_and_previous_credentials(settings: Any) -> None:
    account = add()
    services.rotate_credentials(account_id=account.id, checked=NEW)
    settings.PAYMENT_MASTER_KEYS = [Fernet.generate_key().decode(), *settings.PAYMENT_MASTER_KEYS]
    call_command("reseal", verbosity=0)
    settings.PAYMENT_MASTER_KEYS = settings.PAYMENT_MASTER_KEYS[:1]
    row = StoredChannelAccount.objects.get()
    assert unseal_credentials(row.sealed_credentials) == NEW_CREDENTIALS
    assert unseal_credentials(row.previous_sealed_credentials) == CREDENTIALS
