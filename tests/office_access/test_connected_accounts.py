"""Staff add connected accounts, correct their number and set their application fee; the audit log records each."""

import pytest
from django.test import Client

from audit.models import StaffAction
from channel_accounts import loaded_accounts
from channel_accounts.models import StoredChannelAccount
from gateway.models import PaymentAttempt
from merchants.services import NewMerchant
from tests.channel_accounts.conftest import _session_fake_stripe, stripe  # noqa: F401
from tests.office_access.conftest import member, signed_in
from tests.office_access.test_channel_accounts import LIST, page
from tests.support.fixtures import test_client_of
from tests.support.shop import opened
from tests.support.stripe.fake import FakeStripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

ACCT = "acct_1ShopInBerlin"


@pytest.fixture
def fake(stripe: FakeStripe, settings: object) -> FakeStripe:  # noqa: F811
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_fake", "live": ""}  # type: ignore[attr-defined]
    stripe.connect_account(ACCT)
    return stripe


@pytest.fixture
def admin(transactional_db: None, fake: FakeStripe) -> Client:
    return signed_in(member("admin", "Admin"))


def build_form(acme: NewMerchant, **changes: str) -> dict[str, str]:
    return {
        "credential_stripe_account": ACCT,
        "environment": "test",
        "display_name": "Shop",
        "merchant_email": acme.merchant.email,
        "reason": "contract",
        **changes,
    }


@pytest.fixture
def account(admin: Client, acme: NewMerchant) -> StoredChannelAccount:
    assert admin.post(f"{LIST}connect-stripe/", build_form(acme)).status_code == 302
    return StoredChannelAccount.objects.get()


def test_a_connected_account_is_added_for_a_merchant(admin: Client, account: StoredChannelAccount) -> None:
    assert (account.kind, account.account_no, account.last_check_result) == ("connected", ACCT, "accepted")
    entry = StaffAction.objects.get()
    assert (entry.action, entry.after["account_no"]) == ("channel_account.create", ACCT)


def test_a_form_without_a_merchant_or_with_an_invalid_account_is_refused(
    admin: Client, acme: NewMerchant
) -> None:
    for wrong in ({"merchant_email": ""}, {"credential_stripe_account": "acct_1Stranger"}):
        answer = admin.post(f"{LIST}connect-stripe/", build_form(acme, **wrong))
        assert answer.status_code in (200, 409, 422)
    assert not StoredChannelAccount.objects.exists()


def test_the_application_fee_is_set(admin: Client, account: StoredChannelAccount) -> None:
    fee = {"percent": "2.5", "fixed": "USD 0.30, jpy 40", "returns_fee_on_refund": "on", "reason": "contract"}
    assert admin.post(page(account, "fee"), fee).status_code == 302
    account.refresh_from_db()
    assert (account.fee_basis_points, account.fee_fixed_minor) == (250, {"USD": 30, "JPY": 40})
    assert account.returns_fee_on_refund
    entry = StaffAction.objects.get(action="channel_account.fee")
    assert (entry.before["fee_basis_points"], entry.after["fee_basis_points"]) == (0, 250)
    assert "USD 0.30, JPY 40" in admin.get(page(account, "fee")).content.decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"percent": "100.01"},
        {"percent": "-1"},
        {"percent": "2.555"},
        {"fixed": "USD"},
        {"fixed": "USD 0.305"},
        {"fixed": "USD 1, USD 2"},
        {"fixed": "XXX 1"},
    ],
)
def test_a_wrong_fee_is_refused(admin: Client, account: StoredChannelAccount, wrong: dict[str, str]) -> None:
    admin.post(page(account, "fee"), {"percent": "1", "fixed": "", "reason": "contract", **wrong})
    account.refresh_from_db()
    assert (account.fee_basis_points, account.fee_fixed_minor) == (0, {})


def test_the_number_is_corrected_only_before_the_first_payment(
    admin: Client, fake: FakeStripe, acme: NewMerchant, account: StoredChannelAccount
) -> None:
    fake.connect_account("acct_1Right")
    corrected = {"credential_stripe_account": "acct_1Right", "reason": "typing error"}

    def change() -> str:
        admin.post(page(account, "change-connected"), corrected)
        account.refresh_from_db()
        return account.account_no

    assert change() == ACCT  # it is active
    admin.post(page(account, "disable"), {"reason": "typing error"})
    assert change() == "acct_1Right"
    admin.post(page(account, "enable"), {"reason": "corrected"})
    loaded_accounts.clear_cache()
    opened(test_client_of(acme), channel="stripe")
    assert PaymentAttempt.objects.get().channel_account_id == account.pk
    admin.post(page(account, "disable"), {"reason": "no"})
    corrected["credential_stripe_account"] = ACCT
    assert change() == "acct_1Right"


def test_its_credentials_are_not_rotated(admin: Client, account: StoredChannelAccount) -> None:
    form = {
        "credential_secret_key": "sk_test_51x",
        "credential_webhook_secrets": "whsec_x",
        "overlap_hours": "1",
        "reason": "no",
    }
    before = account.sealed_credentials
    admin.post(page(account, "rotate"), form)
    account.refresh_from_db()
    assert account.sealed_credentials == before
