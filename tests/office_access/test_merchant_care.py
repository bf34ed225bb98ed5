"""Staff manage merchants: create, suspend and reactivate them, rotate and revoke their keys."""

import re
import uuid
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from channel_accounts.models import StoredChannelAccount
from common.crypto import seal
from merchants.models import ApiKey, Merchant
from merchants.services import NewMerchant
from staff.models import StaffSession
from tests.office_access.conftest import member, signed_in
from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CREATE = "/admin/merchants/merchant/create/"
NEW = {"name": "Corner Shop", "email": "Shop@Example.com", "reason": "signed on Monday"}


@pytest.fixture
def admin(transactional_db: None) -> Client:
    return signed_in(member("admin", "Admin"))


def shown_by(answer) -> list[str]:  # type: ignore[no-untyped-def]
    """Returns the texts of the page that are shown only once."""
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    return re.findall(r"<code[^>]*>((?:pk|sk)_[^<]+)</code>", unescape(answer.content.decode()))


def page(name: str, key: ApiKey) -> str:
    return reverse(f"admin:merchants_apikey_{name}", args=[key.pk])


def test_a_new_merchant_has_both_keys_and_can_call(admin: Client) -> None:
    test_key, test_secret, live_key, live_secret = shown_by(admin.post(CREATE, NEW))
    merchant = Merchant.objects.get()
    assert merchant.email == "shop@example.com"
    for key, secret in ((test_key, test_secret), (live_key, live_secret)):
        assert SignedClient(key, secret).get("/api/v1/merchant").json()["data"]["name"] == "Corner Shop"
    done = StaffAction.objects.get()
    assert (done.actor, done.action, done.object_id) == ("admin", "merchant.create", str(merchant.pk))


def test_the_secrets_are_stored_nowhere(admin: Client, caplog: pytest.LogCaptureFixture) -> None:
    texts = shown_by(admin.post(CREATE, NEW))
    key = ApiKey.objects.filter(environment="test").get()
    texts += shown_by(admin.post(page("rotate", key), {"reason": "yearly", "overlap_hours": "24"}))
    assert len(texts) == 6
    with connection.cursor() as cursor:
        dump = ""
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT coalesce(string_agg(row::text, chr(10)), $$$$) FROM "{table}" AS row')
            dump += cursor.fetchone()[0]
    dump += str([session.get_decoded() for session in StaffSession.objects.all()]) + caplog.text
    dump += admin.get("/admin/").content.decode()
    assert "merchant.created" in dump
    assert not [text for text in texts if text in dump or text.rpartition("_")[2][:20] in dump]


def test_a_double_click_makes_one_merchant(admin: Client) -> None:
    shown_by(admin.post(CREATE, NEW))
    again = admin.post(CREATE, NEW)
    assert again.status_code == 409
    assert (
        "A merchant with this email exists already. Use that one, or another email." in again.content.decode()
    )
    assert (Merchant.objects.count(), StaffAction.objects.count()) == (1, 1)


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"email": "no-address"}, {"reason": " "}, {"name": "x" * 201}]
)
def test_an_error_is_shown_at_its_field(admin: Client, change: dict[str, str]) -> None:
    answer = admin.post(CREATE, {**NEW, **change})
    assert answer.status_code == 422
    assert set(answer.context["form"].errors) == set(change)
    assert not Merchant.objects.exists()


def test_a_rotated_key_stays_valid_with_its_successor(
    admin: Client, acme: NewMerchant, client: SignedClient
) -> None:
    key, secret = shown_by(
        admin.post(
            page("rotate", acme.test_key.api_key), {"reason": "leaving colleague", "overlap_hours": "1"}
        )
    )
    for caller in (client, SignedClient(key, secret)):
        assert caller.get("/api/v1/merchant").status_code == 200
    again = admin.post(page("rotate", acme.test_key.api_key), {"reason": "x", "overlap_hours": "1"})
    assert again.status_code == 409
    assert StaffAction.objects.filter(action="api_key.rotate").count() == 1


def test_a_stolen_last_key_can_be_revoked(admin: Client, acme: NewMerchant, client: SignedClient) -> None:
    assert admin.post(page("revoke", acme.test_key.api_key), {"reason": "on GitHub"}).status_code == 302
    assert client.get("/api/v1/merchant").status_code == 401
    assert admin.post(page("revoke", acme.test_key.api_key), {"reason": "again"}).status_code == 409
    done = StaffAction.objects.get()
    assert (done.action, done.reason, done.before["key"]) == (
        "api_key.revoke",
        "on GitHub",
        acme.test_key.api_key.hint,
    )


def test_a_suspended_merchant_is_refused_until_reactivated(
    admin: Client, acme: NewMerchant, client: SignedClient
) -> None:
    suspend, reactivate = (
        reverse(f"admin:merchants_merchant_{name}", args=[acme.merchant.pk])
        for name in ("suspend", "reactivate")
    )
    assert admin.post(suspend, {"reason": "chargebacks"}).status_code == 302
    shop.error(client.get("/api/v1/merchant"), 403, "merchant_suspended")
    assert admin.post(suspend, {"reason": "chargebacks"}).status_code == 409
    assert admin.post(reactivate, {"reason": "explained"}).status_code == 302
    assert client.get("/api/v1/merchant").status_code == 200
    assert list(StaffAction.objects.order_by("id").values_list("action", flat=True)) == [
        "merchant.suspend",
        "merchant.reactivate",
    ]


def test_the_page_shows_the_volume_of_a_merchant(
    admin: Client, acme: NewMerchant, client: SignedClient
) -> None:
    shop.refund(client, shop.paid(client, amount=12_345), 345)
    shop.paid(client, amount=500, currency="JPY")
    html = unescape(
        admin.get(reverse("admin:merchants_merchant_change", args=[acme.merchant.pk])).content.decode()
    )
    for text in ("123.45 USD", "3.45 USD", "500 JPY"):
        assert text in html


def test_the_volume_is_read_from_an_index(acme: NewMerchant) -> None:
    from backoffice.services.merchant_panels import VOLUMES

    with connection.cursor() as cursor:
        # These scans and sorts would be too slow on a big table; the statistics of this small one would allow them.
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
        given = {"merchant": acme.merchant.pk, "most": 10, "days": 30, "succeeded": "succeeded"}
        cursor.execute(f"EXPLAIN {VOLUMES}", given)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_sort")
    assert plan.count("Index Scan using payment_by_merchant") == 2, plan
    assert "Sort" not in plan.split("Append")[1], plan


def test_the_page_shows_who_acts_for_a_merchant(admin: Client, acme: NewMerchant) -> None:
    """The contact comes first, then the last action of each person and key on the merchant's objects."""
    test_key, live_key = acme.test_key.api_key, acme.live_key.api_key
    merchant_page = reverse("admin:merchants_merchant_change", args=[acme.merchant.pk])
    suspend = reverse("admin:merchants_merchant_suspend", args=[acme.merchant.pk])
    admin.post(page("rotate", live_key), {"reason": "yearly", "overlap_hours": "1"})
    assert signed_in(member("sue", "Support")).get(page("change", test_key)).status_code == 200
    mia = signed_in(member("mia", "Admin"))
    mia.post(page("rotate", test_key), {"reason": "yearly", "overlap_hours": "1"})
    mia.post(suspend, {"reason": "chargebacks"})
    account = StoredChannelAccount.objects.create(
        merchant=acme.merchant, environment="test", channel="stripe", sealed_credentials=seal("{}")
    )
    for actor, object_id in ((f"api_key:{test_key.pk}", account.pk), ("eve", uuid.uuid4())):
        StaffAction.objects.create(
            actor=actor,
            action="channel_account.create",
            object_type="channel_account",
            object_id=str(object_id),
            reason="why",
        )

    def list_people(environment: str) -> list[tuple[str, ...]]:
        panels = admin.get(merchant_page, {"environment": environment}).context["page"].panels
        (users,) = [panel for panel in panels if panel.title == "Users"]
        return [tuple(row[:3]) for row in users.rows]

    contact = (acme.merchant.email, "Contact", "—")
    assert list_people("test") == [
        contact,
        (test_key.hint, "API key", "Add a channel account"),
        ("mia", "Staff", "Suspend the merchant"),
    ]
    assert list_people("live") == [
        contact,
        ("mia", "Staff", "Suspend the merchant"),
        ("admin", "Staff", "Rotate the key"),
    ]


def test_who_acts_for_a_merchant_is_read_from_an_index(acme: NewMerchant) -> None:
    from backoffice.services.merchant_people import PEOPLE

    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        given = {"merchant": acme.merchant.pk, "environments": ["test"], "actions": 5, "view": "", "shown": 5}
        cursor.execute(f"EXPLAIN {PEOPLE}", given)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan")
    assert "staff_action_by_object" in plan, plan
    assert "api_keys_pkey" in plan, plan


def test_viewing_a_key_is_recorded(acme: NewMerchant) -> None:
    support = signed_in(member("sue", "Support"))
    key = acme.live_key.api_key
    assert support.get(reverse("admin:merchants_apikey_change", args=[key.pk])).status_code == 200
    looked = StaffAction.objects.get()
    assert (looked.actor, looked.action, looked.object_id) == ("sue", "api_key.viewed", str(key.pk))
    signed_in(member("vera", "Viewer")).get(reverse("admin:merchants_apikey_change", args=[key.pk]))
    assert StaffAction.objects.count() == 1
