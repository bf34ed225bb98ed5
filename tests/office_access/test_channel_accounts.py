"""Staff add, check, rotate, disable and enable channel accounts. Credentials are never shown again."""

import datetime as dt

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import StaffAction
from channel_accounts.credentials import unseal_credentials
from channel_accounts.models import StoredChannelAccount
from merchants.services import NewMerchant
from tests.channel_accounts.accounts import CREDENTIALS, KEY, NEW_CREDENTIALS, NEW_KEY, SECRETS
from tests.channel_accounts.conftest import _session_fake_stripe, stripe  # noqa: F401
from tests.office_access.conftest import member, signed_in
from tests.support.stripe.fake import FakeStripe, Fault

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

LIST = "/admin/channel_accounts/storedchannelaccount/"
BALANCE = "GET /v1/balance"


def form(credentials: dict[str, str], **changes: str) -> dict[str, str]:
    return {f"credential_{name}": value for name, value in credentials.items()} | {
        "reason": "moved",
        **changes,
    }


NEW = form(CREDENTIALS, environment="test", display_name="Shop")


@pytest.fixture
def admin(transactional_db: None, stripe: FakeStripe) -> Client:  # noqa: F811
    return signed_in(member("admin", "Admin"))


@pytest.fixture
def account(admin: Client) -> StoredChannelAccount:
    assert admin.post(f"{LIST}add-stripe/", NEW).status_code == 302
    return StoredChannelAccount.objects.get()


def page(account: StoredChannelAccount, name: str) -> str:
    return reverse(f"admin:channel_accounts_storedchannelaccount_{name}", args=[account.pk])


def entries() -> list[tuple[str, str, str]]:
    return list(StaffAction.objects.order_by("id").values_list("action", "actor", "reason"))


def test_a_new_account_of_the_platform(admin: Client, account: StoredChannelAccount) -> None:
    assert account.merchant is None
    assert (account.environment, account.last_check_result) == ("test", "accepted")
    assert unseal_credentials(account.sealed_credentials) == CREDENTIALS
    assert entries() == [("channel_account.create", "admin", "moved")]
    assert StaffAction.objects.get().object_id == str(account.pk)


def test_a_new_account_of_a_merchant(admin: Client, acme: NewMerchant) -> None:
    unknown = admin.post(f"{LIST}add-stripe/", {**NEW, "merchant_email": "nobody@example.com"})
    assert unknown.status_code == 409
    assert not StoredChannelAccount.objects.exists()
    assert admin.post(f"{LIST}add-stripe/", {**NEW, "merchant_email": acme.merchant.email}).status_code == 302
    assert StoredChannelAccount.objects.get().merchant == acme.merchant


def test_credentials_are_never_shown(admin: Client, account: StoredChannelAccount) -> None:
    rotated = admin.post(page(account, "rotate"), form(NEW_CREDENTIALS, overlap_hours="1"), follow=True)
    shown = [rotated, admin.get(LIST), admin.get(page(account, "change")), admin.get(page(account, "rotate"))]
    shown += [admin.get(page(account, "history")), admin.get("/admin/audit/staffaction/")]
    text = "".join(each.content.decode() for each in shown) + str(list(StaffAction.objects.values()))
    assert "Shop" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_a_wrong_credential_is_named_at_its_field_and_not_repeated(admin: Client) -> None:
    wrong = {**NEW, "credential_secret_key": "sk_live_51ofanothermode"}
    answer = admin.post(f"{LIST}add-stripe/", wrong)
    assert answer.status_code == 409
    assert list(answer.context["form"].errors) == ["credential_secret_key"]
    text = answer.content.decode()
    assert "The key does not begin with sk_test_" in text
    assert "sk_live_51ofanothermode" not in text
    assert CREDENTIALS["webhook_secrets"] not in text
    assert "Shop" in text
    missing = admin.post(f"{LIST}add-stripe/", {**NEW, "credential_secret_key": ""})
    assert list(missing.context["form"].errors) == ["credential_secret_key"]
    assert entries() == []


def test_unchecked_credentials_are_saved_only_on_request(admin: Client, stripe: FakeStripe) -> None:  # noqa: F811
    stripe.plan_fault(Fault.UNAVAILABLE, BALANCE)
    assert admin.post(f"{LIST}add-stripe/", NEW).status_code == 409
    assert not StoredChannelAccount.objects.exists()
    stripe.plan_fault(Fault.UNAVAILABLE, BALANCE)
    assert admin.post(f"{LIST}add-stripe/", {**NEW, "save_unchecked": "on"}).status_code == 302
    assert StoredChannelAccount.objects.get().last_check_result == "unchecked"


def test_rotation_with_overlap(admin: Client, account: StoredChannelAccount) -> None:
    assert admin.post(page(account, "rotate"), form(NEW_CREDENTIALS, overlap_hours="2")).status_code == 302
    account.refresh_from_db()
    assert unseal_credentials(account.sealed_credentials)["secret_key"] == NEW_KEY
    assert unseal_credentials(account.previous_sealed_credentials)["secret_key"] == KEY
    assert account.previous_credentials_until is not None
    left = account.previous_credentials_until - timezone.now()
    assert dt.timedelta(hours=1, minutes=50) < left <= dt.timedelta(hours=2)
    assert entries()[-1] == ("channel_account.rotate", "admin", "moved")
    refused = admin.post(page(account, "rotate"), form(CREDENTIALS, overlap_hours="-1"))
    assert list(refused.context["form"].errors) == ["overlap_hours"]


def test_a_check_shows_and_records_its_result(
    admin: Client,
    account: StoredChannelAccount,
    stripe: FakeStripe,  # noqa: F811
) -> None:
    stripe.plan_fault(Fault.EXPIRED_API_KEY, BALANCE)
    answer = admin.post(page(account, "check"), {"reason": "an alert"}, follow=True)
    assert "Refused by the channel" in answer.content.decode()
    account.refresh_from_db()
    assert account.last_check_result == "refused"
    assert entries()[-1] == ("channel_account.check", "admin", "an alert")


def test_disable_and_enable_with_a_reason(admin: Client, account: StoredChannelAccount) -> None:
    assert admin.post(page(account, "disable"), {"reason": " "}).status_code == 422
    assert admin.post(page(account, "disable"), {"reason": "fraud"}).status_code == 302
    account.refresh_from_db()
    assert account.status == "disabled"
    assert admin.post(page(account, "disable"), {"reason": "again"}).status_code == 409
    assert admin.post(page(account, "enable"), {"reason": "solved"}).status_code == 302
    account.refresh_from_db()
    assert account.status == "active"
    assert entries()[1:] == [
        ("channel_account.disable", "admin", "fraud"),
        ("channel_account.enable", "admin", "solved"),
    ]


@pytest.mark.parametrize("role", ["Viewer", "Support", "Finance", "Operator"])
def test_other_roles_see_accounts_and_change_none(account: StoredChannelAccount, role: str) -> None:
    browser = signed_in(member(role.lower(), role))
    assert browser.get(page(account, "change")).status_code == 200
    for name in ("check", "rotate", "disable", "enable"):
        assert browser.post(page(account, name), form(NEW_CREDENTIALS, overlap_hours="1")).status_code == 403
    assert browser.post(f"{LIST}add-stripe/", NEW).status_code == 403
    assert len(entries()) == 1
