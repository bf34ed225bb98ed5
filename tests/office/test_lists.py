"""Filters of lists by amount, currency, merchant, time and environment."""

import re
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice import navigation
from gateway.models import ChannelEvent, Payment
from merchants.services import NewMerchant
from tests.support import bank, shop
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


COPIED = {
    "gateway_payment": ("payments", "payment_no", "payment_by_amount"),
    "gateway_refund": ("refunds", "refund_no", "refund_by_amount"),
    "orders_order": ("orders", "order_no", "order_by_amount"),
}


@pytest.fixture
def vera(sign_in: Callable[..., Client]) -> Client:
    return sign_in("vera", "view_*")


def test_lists_are_narrowed_by_amount_currency_merchant_and_time(
    vera: Client, client: SignedClient, other_client: SignedClient, acme: NewMerchant
) -> None:
    shop.opened(client, amount=5_000, currency="USD")
    shop.opened(client, amount=50, currency="JPY")
    shop.opened(other_client, amount=90_000, currency="USD")

    def found(**by: str) -> list[int]:
        answer = vera.get(reverse("admin:gateway_payment_changelist"), by)
        assert answer.status_code == 200, answer.get("Location")
        return sorted(row.amount_minor for row in answer.context["cl"].result_list)

    assert found(currency="usd") == [5_000, 90_000]
    assert found(amount_from="50", amount_to="50") == [50, 5_000]
    assert found(currency="USD", amount_from="1,00") == [90_000]
    assert found(merchant=acme.merchant.email) == [50, 5_000]
    assert found(merchant=str(acme.merchant.pk), currency="JPY") == [50]
    now = Payment.objects.earliest("created_at").created_at  # the test may run at midnight
    assert found(created_from=f"{now:%Y-%m-%d}") == [50, 5_000, 90_000]
    assert found(created_to=f"{now:%Y-%m-%d}") == [50, 5_000, 90_000]  # the day is included
    assert found(created_to=f"{now:%Y-%m-%dT00:00Z}") == []
    assert found(channel="stripe") == []
    assert found(stuck="yes") == []


@pytest.mark.parametrize("of", ["gateway_payment", "gateway_refund", "orders_order"])
@pytest.mark.parametrize(
    "by", [{"currency": "JPY"}, {"amount_from": "77", "amount_to": "77"}], ids=["currency", "amount"]
)
def test_a_filter_for_few_rows_uses_its_index(
    vera: Client, client: SignedClient, by: dict[str, str], of: str
) -> None:
    shop.data(shop.refund(client, shop.paid(client, amount=7_700, currency="USD"), 7_700))
    table, number, index = COPIED[of]
    with without_triggers() as cursor:
        cursor.execute(
            f"""INSERT INTO {table} SELECT (jsonb_populate_record(p, jsonb_build_object(
                'id', gen_random_uuid(), '{number}', 'COPY-' || n, 'order_no', 'COPY-' || n,
                'amount_minor', 10000 + n, 'order_id', gen_random_uuid(), 'channel_refund_no', 'COPY-' || n))).*
            FROM {table} AS p, generate_series(1, 2000) AS n"""
        )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
    with CaptureQueriesContext(connection) as queries:
        vera.get(reverse(f"admin:{of}_changelist"), by)
    pages = [query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]]
    pages = [sql for sql in pages if not sql.startswith("EXPLAIN")]
    assert pages
    with connection.cursor() as cursor:
        for sql in pages:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert index in plan, plan


@pytest.mark.parametrize(("language", "word"), [("en", "Live"), ("zh-hans", "生产")])
def test_environments_have_display_names(vera: Client, language: str, word: str) -> None:
    for of in ("gateway_payment", "gateway_refund", "orders_order", "webhooks_webhookdelivery"):
        html = vera.get(
            reverse(f"admin:{of}_changelist"), headers={"accept-language": language}
        ).content.decode()
        assert re.search(rf'environment=live"[^>]*>\s*{word}\s*<', html), of


def test_the_effect_of_a_channel_event_has_a_display_name(vera: Client, client: SignedClient) -> None:
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    bank.deliver_webhooks(payment.payment_no)
    for page in (
        reverse("admin:gateway_channelevent_changelist"),
        reverse("admin:gateway_channelevent_change", args=[ChannelEvent.objects.get().pk]),
        reverse("admin:gateway_payment_change", args=[payment.pk]),
    ):
        html = vera.get(page, headers={"accept-language": "zh-hans"}).content.decode()
        assert "无变化" in html, page
        assert "nothing_new" not in html, page


def test_no_list_offers_to_show_all_of_a_table(vera: Client, client: SignedClient) -> None:
    shop.opened(client)
    assert "Show all" not in vera.get(reverse("admin:gateway_payment_changelist")).content.decode()


def test_a_filter_is_planned_for_its_value_however_often_it_is_used(
    vera: Client, client: SignedClient
) -> None:
    """The generic plan of a prepared statement suits a frequent currency. For a rare one it would read a million
    rows."""
    shop.opened(client)
    for _time in range(8):
        assert b"PAY-" in vera.get(reverse("admin:gateway_payment_changelist"), {"currency": "USD"}).content
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%"payments"."currency" IN%'"""
        )
        assert cursor.fetchall() == []


def test_invalid_filter_values_are_reported(vera: Client) -> None:
    by = {"currency": "XXX", "amount_from": "NaN", "created_from": "2026-99-99", "merchant": "nobody@x"}
    answer = vera.get(reverse("admin:gateway_payment_changelist"), by)
    assert answer.status_code == 200
    assert answer.content.decode().count("is unknown. Remove or correct this filter.") == 4


def test_every_list_is_reached_from_the_menu_or_the_page_more(sign_in: Callable[..., Client]) -> None:
    root = Client()
    root.force_login(User.objects.create_superuser("root"))
    menu, more = (root.get(page).content.decode() for page in ("/admin/", reverse("admin_more")))
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        assert f'href="{reverse(name)}"' in menu + more, model
    stranger = sign_in("vera").get(reverse("admin_more")).content.decode()
    assert "/admin/gateway/payment/" not in stranger


def test_the_menu_has_eight_entries(rf: RequestFactory) -> None:
    (menu,) = navigation.groups(rf.get("/admin/"))
    assert len(menu["items"]) == 8
