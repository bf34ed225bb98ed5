"""The tools of every list: sorting, columns, saved views, active filters, and times in the reader's time zone."""

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation

from common import time_zones
from common.admin_lists import parse_moment
from common.list_order import list_sortable_columns
from gateway.models import Payment, Refund
from merchants.services import NewMerchant
from staff.models import SavedView, StaffPreferences
from tests.support import shop
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

PAYMENTS = "/admin/gateway/payment/"


@pytest.fixture
def vera(sign_in: Callable[..., Client]) -> Client:
    return sign_in("vera", "view_*")


def shown(browser: Client, **by: str) -> list[str]:
    answer = browser.get(PAYMENTS, by)
    assert answer.status_code == 200, answer.get("Location")
    return [row.order_no for row in answer.context["cl"].result_list]


def columns_of(browser: Client) -> list[str]:
    cl = browser.get(PAYMENTS).context["cl"]
    return [name if isinstance(name, str) else name.__name__ for name in cl.list_display]


# --- order


def test_a_list_is_sorted_by_columns_with_an_index_only() -> None:
    assert list_sortable_columns(Payment) == {"payment_no", "created_at"}
    assert list_sortable_columns(Refund) == {"refund_no", "created_at"}
    for model in admin.site._registry:  # the order of rows would reveal a secret
        named = [
            name for name in list_sortable_columns(model) if re.search("_hash|sealed_|token$|secret", name)
        ]
        assert not named, model


def test_pages_follow_the_chosen_order(
    vera: Client, client: SignedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site.get_model_admin(Payment), "list_per_page", 2)
    for number in ("A", "B", "C"):
        shop.opened(client, order_no=number)
    numbers = dict(Payment.objects.values_list("order_no", "payment_no"))
    upward = sorted(numbers, key=lambda order_no: numbers[order_no])
    assert shown(vera) == ["C", "B"]
    assert shown(vera, sort="created_at") == ["A", "B"]
    page = vera.get(PAYMENTS, {"sort": "payment_no"}).context["cl"]
    assert [row.order_no for row in page.result_list] == upward[:2]
    page = vera.get(PAYMENTS + page.older_url).context["cl"]
    assert [row.order_no for row in page.result_list] == upward[2:]
    page = vera.get(PAYMENTS + page.newer_url).context["cl"]
    assert [row.order_no for row in page.result_list] == upward[:2]
    assert shown(vera, sort="-payment_no") == upward[::-1][:2]


@pytest.mark.parametrize("sort", ["amount_minor", "-merchant__email", "password", "x" * 300, "-"])
def test_sorting_by_another_column_is_refused_with_a_message(
    vera: Client, client: SignedClient, sort: str
) -> None:
    shop.opened(client, order_no="A")
    answer = vera.get(PAYMENTS, {"sort": sort})
    assert answer.status_code == 200
    assert "cannot be sorted by" in answer.content.decode()


# --- filters


@pytest.mark.parametrize(
    "by",
    [
        {"status__exact": "paid"}, {"channel": "nochannel"}, {"environment": "prod"}, {"needs_attention__exact": "x"},
        {"stuck": "maybe"}, {"merchant": "nobody@x"}, {"currency": "XXX"}, {"amount_from": "NaN"},
        {"created_from": "2026-99-99"}, {"created_to": "0"}, {"paid_from": "yesterday"},
    ],
)  # fmt: skip
def test_an_unknown_filter_value_shows_no_rows_and_a_message(
    vera: Client, client: SignedClient, by: dict[str, str]
) -> None:
    shop.opened(client)
    answer = vera.get(PAYMENTS, by)
    assert answer.status_code == 200
    assert list(answer.context["cl"].result_list) == []
    assert "unknown" in answer.content.decode()


def test_active_filters_are_listed_and_removed_one_by_one(
    vera: Client, client: SignedClient, acme: NewMerchant
) -> None:
    shop.opened(client, order_no="A")
    by = {
        "status__exact": "pending",
        "merchant": acme.merchant.email,
        "currency": "USD",
        "sort": "created_at",
    }
    active = vera.get(PAYMENTS, by).context["cl"].active_filters()
    assert [each.value for each in active] == ["Pending", "Test", acme.merchant.email, "USD"]
    assert active[0].remove_url.count("sort=created_at") == 1
    assert "status__exact" not in active[0].remove_url
    assert shown(vera) == ["A"]
    assert [each.value for each in vera.get(PAYMENTS).context["cl"].active_filters()] == ["Test"]


def test_merchants_are_suggested_by_the_beginning_of_name_or_email(
    vera: Client, acme: NewMerchant, sign_in: Callable[..., Client]
) -> None:
    address = reverse("admin_find_merchants")
    for term in (acme.merchant.name[:3].lower(), acme.merchant.email[:4].upper()):
        assert {"name": acme.merchant.name, "email": acme.merchant.email} in vera.get(
            address, {"q": term}
        ).json()["merchants"]
    for term in ("%", "", "zzz"):
        assert vera.get(address, {"q": term}).json() == {"merchants": []}
    assert sign_in("nobody").get(address, {"q": acme.merchant.name}).json() == {"merchants": []}


# --- columns and views of a person


def test_columns_are_chosen_stored_and_restored(vera: Client, sign_in: Callable[..., Client]) -> None:
    declared = columns_of(vera)
    form = {
        "list": "gateway.payment",
        "column": ["amount", "channel_trade_no", "paid_at", "customer", "nonsense"],
    }
    answer = vera.post(reverse("staff_list_columns"), {**form, "query": "status__exact=failed&older=x"})
    assert answer["Location"] == f"{PAYMENTS}?status__exact=failed"
    assert columns_of(vera) == ["payment_no", "amount", "channel_trade_no", "paid_at"]
    assert columns_of(sign_in("walt", "view_*")) == declared
    vera.post(reverse("staff_list_columns"), {"list": "gateway.payment", "restore": "1"})
    assert columns_of(vera) == declared


def test_a_column_that_no_longer_exists_is_left_out(vera: Client) -> None:
    user = User.objects.get(username="vera")
    StaffPreferences.objects.create(user=user, list_columns={"gateway.payment": ["gone", "amount"]})
    assert columns_of(vera) == ["payment_no", "amount"]


def test_no_secret_can_be_made_a_column(sign_in: Callable[..., Client]) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    for model, model_admin in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        names = [choice.name for choice in root.get(reverse(name)).context["column_choices"]]
        assert names[0] == model_admin.list_display[0]
        assert not [each for each in names if re.search("_hash|sealed_|password|token$|secret$", each)], model


def test_views_are_saved_shared_renamed_and_deleted(vera: Client, sign_in: Callable[..., Client]) -> None:
    walt = sign_in("walt", "view_*")
    form = {
        "list": "gateway.payment",
        "name": "Failed today",
        "query": "status__exact=failed&sort=created_at",
    }
    answer = vera.post(reverse("staff_list_views"), form)
    assert answer["Location"] == f"{PAYMENTS}?{form['query']}"
    view = SavedView.objects.get()

    def offered(browser: Client) -> list[str]:
        return [each.name for each in browser.get(PAYMENTS).context["personal_views"]]

    assert (offered(vera), offered(walt)) == (["Failed today"], [])
    assert "already have" in vera.post(reverse("staff_list_views"), form, follow=True).content.decode()
    address = reverse("staff_list_view", args=[view.pk])
    vera.post(address, {"list": "gateway.payment", "name": "Failed", "is_shared": "on"})
    assert (offered(vera), offered(walt)) == (["Failed"], ["Failed"])
    walt.post(address, {"list": "gateway.payment", "name": "Mine"})
    walt.post(address, {"list": "gateway.payment", "delete": "1"})
    assert offered(vera) == ["Failed"]
    vera.post(address, {"list": "gateway.payment", "delete": "1"})
    assert (offered(vera), offered(walt)) == ([], [])


@pytest.mark.parametrize("name", ["", " ", "x" * 61])
def test_a_view_needs_a_name(vera: Client, name: str) -> None:
    answer = vera.post(reverse("staff_list_views"), {"list": "gateway.payment", "name": name}, follow=True)
    assert "Enter a name" in answer.content.decode()
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    ("of", "status"), [("auth.user", 403), ("no.list", 404), ("", 404), ("sessions.session", 404)]
)
def test_only_lists_that_a_person_may_view_are_kept(
    sign_in: Callable[..., Client], of: str, status: int
) -> None:
    olga = sign_in("olga", "gateway.view_payment")
    for address in (reverse("staff_list_views"), reverse("staff_list_columns")):
        assert olga.post(address, {"list": of, "name": "x"}).status_code == status
    assert olga.get(reverse("staff_list_views")).status_code == 405


# --- time zones


def test_times_are_shown_in_the_zone_of_the_profile_or_the_browser(
    vera: Client, client: SignedClient
) -> None:
    shop.opened(client)
    with without_triggers() as cursor:
        cursor.execute("UPDATE payments SET created_at = '2026-03-01 20:30:05+00'")

    def html() -> str:
        return vera.get(PAYMENTS).content.decode()

    assert 'title="2026-03-01 20:30:05 UTC">2026-03-01 20:30<' in html()
    vera.cookies[time_zones.COOKIE] = "Asia/Shanghai"
    assert 'title="2026-03-02 04:30:05 UTC+8">2026-03-02 04:30<' in html()
    assert "Asia/Shanghai (UTC+8)" in html()
    assert vera.post(reverse("staff_profile"), {"time_zone": "America/New_York"}).status_code == 302
    assert 'title="2026-03-01 15:30:05 UTC-5">2026-03-01 15:30<' in html()
    assert vera.post(reverse("staff_profile"), {"time_zone": "Mars/Olympus"}).status_code == 422
    assert vera.post(reverse("staff_profile"), {"time_zone": ""}).status_code == 302
    for nonsense in ("../etc/passwd", "Mars", "x" * 3000, "posixrules"):
        vera.cookies[time_zones.COOKIE] = nonsense
        assert vera.get(PAYMENTS).status_code == 200


def test_filters_read_days_in_the_readers_zone(vera: Client, client: SignedClient) -> None:
    shop.opened(client, order_no="A")
    with without_triggers() as cursor:
        cursor.execute("UPDATE payments SET created_at = '2026-03-01 20:30:05+00'")
    assert shown(vera, created_from="2026-03-02") == []
    assert shown(vera, created_from="2026-03-01", created_to="2026-03-01") == ["A"]
    vera.cookies[time_zones.COOKIE] = "Asia/Shanghai"
    assert shown(vera, created_from="2026-03-02") == ["A"]
    assert shown(vera, created_from="2026-03-02T04:30", created_to="2026-03-02T04:31") == ["A"]
    assert shown(vera, created_from="2026-03-01T20:31Z") == []


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (5, "just now", "刚刚"), (-5, "just now", "刚刚"),
        (300, "5 min ago", "5 分钟前"), (-300, "in 5 min", "5 分钟后"),
        (7200, "2 h ago", "2 小时前"), (-7200, "in 2 h", "2 小时后"), (90_000, "2026-11-27 11:00", "2026-11-27 11:00"),
    ],
)  # fmt: skip
def test_times_are_relative_within_a_day(seconds: int, english: str, chinese: str) -> None:
    now = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
    for language, text in (("en", english), ("zh-hans", chinese)):
        with translation.override(language), timezone.override(dt.UTC):
            assert time_zones.format_relatively(now - dt.timedelta(seconds=seconds), now) == text


def test_offsets_are_written_as_people_write_them() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    names = {
        "UTC": "UTC",
        "Asia/Shanghai": "UTC+8",
        "Asia/Kolkata": "UTC+5:30",
        "America/St_Johns": "UTC-3:30",
    }
    for name, offset in names.items():
        zone = time_zones.find_zone(name)
        assert zone is not None
        assert time_zones.describe_offset(zone, moment) == offset
    assert parse_moment("9999-12-31", is_end=True) is None


def test_the_files_of_zones_are_read_once(vera: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    vera.cookies[time_zones.COOKIE] = "Asia/Shanghai"
    assert vera.get(PAYMENTS).status_code == 200
    calls = []

    def list_and_count() -> set[str]:
        calls.append(1)
        return {"Asia/Shanghai"}

    monkeypatch.setattr(zoneinfo, "available_timezones", list_and_count)
    assert "UTC+8" in vera.get(PAYMENTS).content.decode()
    assert calls == [], "it opens hundreds of files: 30 ms of a page"


def test_a_list_takes_few_statements(vera: Client, client: SignedClient) -> None:
    shop.opened(client)
    with CaptureQueriesContext(connection) as queries:
        assert vera.get(PAYMENTS).status_code == 200
    assert len(queries) <= 18, [query["sql"] for query in queries]
