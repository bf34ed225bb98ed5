"""Connected accounts: only staff can add one, and one number belongs to one merchant."""

from typing import Any

import pytest
from django.db import IntegrityError

from channel_accounts import services
from channel_accounts.errors import AccountManagedByPlatform
from channel_accounts.models import StoredChannelAccount
from common.errors import ValidationFailed
from merchants.services import NewMerchant
from tests.channel_accounts.accounts import ACCOUNTS, CREDENTIALS, account_request, added
from tests.channel_accounts.test_services import NEW
from tests.support.fixtures import new_merchant
from tests.support.shop import data, error, new_no
from tests.support.signing import SignedClient
from tests.support.stripe.connect import add_connected_account
from tests.support.stripe.fake import FakeStripe

pytestmark = pytest.mark.django_db(transaction=True)

ACCT = "acct_1ShopInBerlin"
NAMED = {"stripe_account": ACCT}


@pytest.fixture
def connected(stripe: FakeStripe, acme: NewMerchant) -> StoredChannelAccount:
    return add_connected_account(stripe, acme, ACCT)


@pytest.mark.parametrize("credentials", [NAMED, {**CREDENTIALS, **NAMED}, {"stripe_account": ""}])
@pytest.mark.parametrize("save_unchecked", [False, True])
def test_a_merchant_cannot_name_one(
    stripe: FakeStripe, client: SignedClient, credentials: dict[str, str], save_unchecked: bool
) -> None:
    stripe.connect_account(ACCT)
    own = added(client)
    request = account_request(credentials=credentials, save_unchecked=save_unchecked)
    answers = [client.post(ACCOUNTS, request, idempotency_key=new_no("key"))]
    body = {"credentials": credentials, "save_unchecked": save_unchecked}
    answers.append(client.post(f"{ACCOUNTS}/{own['id']}/rotate", body, idempotency_key=new_no("key")))
    for answer in answers:
        assert "credentials.stripe_account" in error(answer, 400, "validation_failed")
    assert list(StoredChannelAccount.objects.values_list("kind", flat=True)) == ["own"]


def test_a_merchant_cannot_change_one(
    stripe: FakeStripe, client: SignedClient, connected: StoredChannelAccount
) -> None:
    """The merchant cannot change the number or the fee, and cannot give the account its own keys."""
    address = f"{ACCOUNTS}/{connected.id}"
    own_keys = client.post(f"{address}/rotate", {"credentials": CREDENTIALS}, idempotency_key=new_no("key"))
    error(own_keys, 403, "account_managed_by_platform")
    named = client.post(f"{address}/rotate", {"credentials": NAMED}, idempotency_key=new_no("key"))
    error(named, 400, "validation_failed")
    for field in ("kind", "account_no", "fee_basis_points", "returns_fee_on_refund"):
        patched = client.patch(address, {field: 1}, idempotency_key=new_no("key"))
        error(patched, 400, "validation_failed")
    with pytest.raises(AccountManagedByPlatform):
        services.rotate_credentials(account_id=connected.id, checked=NEW)
    before = connected.sealed_credentials
    connected.refresh_from_db()
    assert connected.sealed_credentials == before


def test_a_merchant_sees_renames_and_disables_one(
    stripe: FakeStripe, client: SignedClient, connected: StoredChannelAccount
) -> None:
    address = f"{ACCOUNTS}/{connected.id}"
    seen = data(client.get(address))
    assert (seen["kind"], seen["account_no"]) == ("connected", ACCT)
    assert seen["webhook_url"].endswith("/api/v1/webhooks/stripe/connect")
    renamed = client.patch(address, {"display_name": "Shop"}, idempotency_key=new_no("key"))
    assert data(renamed)["display_name"] == "Shop"
    disabled = client.post(f"{address}/disable", {}, idempotency_key=new_no("key"))
    assert data(disabled)["status"] == "disabled"


def test_one_number_belongs_to_one_merchant(stripe: FakeStripe, connected: StoredChannelAccount) -> None:
    with pytest.raises(ValidationFailed) as refused:
        add_connected_account(stripe, new_merchant(), ACCT)
    assert "credentials.stripe_account" in refused.value.details


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "own"},
        {"merchant": None},
        {"account_no": ""},
        {"fee_basis_points": 10_001},
        {"disabled_reason": "disconnected"},
    ],
)
def test_the_database_refuses(connected: StoredChannelAccount, changes: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        StoredChannelAccount.objects.filter(pk=connected.pk).update(**changes)


def test_the_database_refuses_a_fee_of_an_account_with_its_own_keys(
    stripe: FakeStripe, client: SignedClient
) -> None:
    added(client)
    with pytest.raises(IntegrityError):
        StoredChannelAccount.objects.update(fee_basis_points=100)
