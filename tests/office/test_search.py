"""The search of the header: the beginning of any number or name, in any case, and amounts."""

import re
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from backoffice.search.statements import MAX_FOUND, PREFIXES, build_statement, find_ids
from backoffice.search.terms import parse_term
from channels.registry import list_channel_names
from gateway.models import Payment, Refund
from idempotency.models import IdempotencyKey
from merchants.services import NewMerchant
from sagas.models import SagaInstance
from tests.support import long_lists, shop
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def vera(sign_in: Callable[..., Client]) -> Client:
    return sign_in("vera", "view_*")


def leads_to(browser: Client, term: str) -> str:
    """The address to which the search redirects; empty when it lists results."""
    answer = browser.get(reverse("admin_find"), {"q": term})
    assert answer.status_code in (200, 302)
    return answer.get("Location", "")


def found(browser: Client, term: str, **others: str) -> dict[str, list[str]]:
    """Returns the titles of the results, by kind."""
    answer = browser.get(reverse("admin_find"), {"q": term, "part": "1", **others})
    assert answer.status_code == 200
    return {
        str(group.label): [result.title for result in group.results] for group in answer.context["groups"]
    }


def page_of(row: object, name: str) -> str:
    return reverse(f"admin:{name}_change", args=[row.pk])  # type: ignore[attr-defined]


def test_a_whole_number_leads_to_its_page(vera: Client, client: SignedClient, acme: NewMerchant) -> None:
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    refund = Refund.objects.get(
        refund_no=shop.data(shop.refund(client, {"payment_no": payment.payment_no}, 100))["refund_no"]
    )
    order = shop.ordered(client)
    here = page_of(payment, "gateway_payment")
    assert leads_to(vera, f"  {payment.payment_no.lower()} ") == here
    assert leads_to(vera, payment.order_no.lower()) == here
    assert leads_to(vera, payment.channel_trade_no.upper()) == here
    assert leads_to(vera, refund.refund_no) == page_of(refund, "gateway_refund")
    assert leads_to(vera, order["order_no"]).startswith("/admin/orders/order/")
    assert leads_to(vera, acme.merchant.email.upper()) == page_of(acme.merchant, "merchants_merchant")
    for nothing in ("", "PAY-1", "%00", "x" * 3000):
        assert leads_to(vera, nothing) == ""
    assert vera.get(reverse("admin_find"), {"q": "\0"}).status_code == 400


def test_an_id_finds_the_saga_and_what_it_made(vera: Client, client: SignedClient) -> None:
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    saga = SagaInstance.objects.get(pk=payment.pk)
    for term in (str(saga.pk), saga.pk.hex[:30], str(saga.pk).upper()[:34]):
        assert found(vera, term) == {
            "Payments": [payment.payment_no],
            "Orders": [payment.order_no],
            "Sagas": [f"{saga.definition} {saga.business_id}"],
        }


def test_the_beginning_is_enough_in_any_case(vera: Client, client: SignedClient, acme: NewMerchant) -> None:
    payment = Payment.objects.get(
        payment_no=shop.opened(
            client,
            key="find-me",
            order_no="Shop-2026:A-17",
            customer={"email": "Ann.Lee@example.com", "id": "cus_7", "name": "李安 Lee"},
        )["payment_no"]
    )
    payments = {"Payments": [payment.payment_no]}
    assert found(vera, payment.payment_no[:-3].lower()) == payments
    assert found(vera, "shop-2026:a") == {**payments, "Orders": ["Shop-2026:A-17"]}
    for customer in ("ann.lee@", "CUS_7", "李安"):
        assert found(vera, customer) == payments, customer
    assert found(vera, acme.merchant.name[:3].upper())["Merchants"] == [acme.merchant.name]
    record = IdempotencyKey.objects.get()
    assert found(vera, record.request_id[:16])["Payments"] == [payment.payment_no]
    assert found(vera, record.request_id)["Idempotency keys"] == [record.request_id]


@pytest.mark.parametrize("term", ["%", "_", "SHOP_17%", "\\", "Shop\\", "shop%", "'", "{", "*"])
def test_no_character_is_a_wildcard(vera: Client, client: SignedClient, term: str) -> None:
    shop.opened(client, order_no="Shop-17")
    assert found(vera, term) == {}


def test_special_characters_of_sql_are_found(vera: Client, client: SignedClient) -> None:
    shop.opened(client, customer={"name": "100%_\\o'Hara"})
    assert len(found(vera, "100%_\\O'h")["Payments"]) == 1


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("108", 2),
        ("108.00", 2),
        ("USD 108.00", 1),
        ("108.00 usd", 1),
        ("jpy108", 1),
        ("JPY 108.5", 0),
        ("1,08", 0),
    ],
)
def test_an_amount_is_found_in_each_currency(
    vera: Client, client: SignedClient, typed: str, count: int
) -> None:
    shop.opened(client, amount=10_800, currency="USD")
    shop.opened(client, amount=108, currency="JPY")
    assert len(found(vera, typed).get("Payments", [])) == count


@pytest.mark.parametrize("nonsense", ["1e5", "NaN", "-5", "USD 5 EUR", "XXX 5", "0", "9" * 30, "１０８"])
def test_an_invalid_amount_is_searched_as_text(nonsense: str) -> None:
    term = parse_term(nonsense)
    assert term is not None
    assert term.amounts == ()


def test_the_same_number_of_two_merchants_is_listed(
    vera: Client, client: SignedClient, other_client: SignedClient
) -> None:
    for each in (client, other_client):
        shop.opened(each, order_no="SAME-1")
    shop.opened(client, order_no="SAME-10")
    assert leads_to(vera, "SAME-1") == ""
    assert found(vera, "same-1")["Orders"] == ["SAME-10", "SAME-1", "SAME-1"]


def test_an_exact_number_is_found_among_many_that_begin_with_it(vera: Client, client: SignedClient) -> None:
    for number in ("N-1", "N-10", "N-11", "N-12", "N-13", "N-14", "N-15"):
        shop.opened(client, order_no=number)
    payment = Payment.objects.get(order_no="N-1")
    assert leads_to(vera, "n-1") == page_of(payment, "gateway_payment")
    assert found(vera, "n-1")["Payments"][0] == payment.payment_no


def test_test_and_live_are_separate(vera: Client, client: SignedClient) -> None:
    shop.opened(client, order_no="MODE-1")
    assert found(vera, "MODE", environment="test")["Orders"] == ["MODE-1"]
    assert found(vera, "MODE", environment="live") == {}
    html = vera.get(reverse("admin_find"), {"q": "MODE", "part": "1"}).content.decode()
    assert re.search(r'class="office-mode">\s*Test', html)


def test_people_find_only_what_they_may_view(sign_in: Callable[..., Client], client: SignedClient) -> None:
    shop.opened(client, order_no="MINE-1")
    assert found(sign_in("nobody"), "MINE-1") == {}
    orders_only = sign_in("olga", "orders.view_order")
    assert found(orders_only, "MINE-1") == {"Orders": ["MINE-1"]}
    assert vera_is_asked_to_sign_in()


def vera_is_asked_to_sign_in() -> bool:
    answer = Client().get(reverse("admin_find"), {"q": "x"})
    return answer.status_code == 302 and answer["Location"].startswith("/admin/login/")


@pytest.mark.parametrize(
    "page", ["admin:index", "admin:gateway_payment_changelist", "admin_more", "second_factor"]
)
def test_the_search_is_in_the_header_of_every_page(vera: Client, page: str) -> None:
    html = vera.get(reverse(page)).content.decode()
    assert html.count("data-find") == 1
    assert "searchCommand" not in html


def plan_of(term: str) -> str:
    """Returns the plan with sequential scans and sorts switched off: they appear only where no index helps."""
    parsed = parse_term(term)
    assert parsed is not None
    sql, parameters = build_statement(parsed, list_channel_names())
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {sql}", parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


INDEXES = {
    "payments_payment_no", "payment_find_trade_no", "payment_find_customer_email", "payment_find_customer_id",
    "payment_find_customer_name", "order_find_no", "refunds_refund_no", "refund_find_channel_no",
    "disputes_dispute_no", "dispute_find_channel_no", "merchant_find_name", "merchants_email",
    "idempotency_by_request", "staff_action_by_request", "payment_attempt_reference_once", "channel_event_once",
    "saga_by_business_id",
}  # fmt: skip


@pytest.fixture
def many(client: SignedClient) -> None:
    """Rows of each kind, with different amounts: for empty tables, the planner finds no index cheaper than another."""
    shop.data(shop.refund(client, shop.paid(client), 100))
    long_lists.fill(500)
    with without_triggers() as cursor:
        for table in ("payments", "refunds"):
            cursor.execute(
                f"UPDATE {table} SET amount_minor = amount_minor + n.number"
                f" FROM (SELECT id, row_number() OVER () AS number FROM {table}) AS n WHERE n.id = {table}.id"
            )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE payments, refunds")


def test_each_number_is_read_from_its_index_in_order(many: None) -> None:
    plan = plan_of("PAY-2026")
    assert "Seq Scan" not in plan
    assert "Sort" not in plan
    for index in INDEXES:
        assert re.search(rf"using {index}", plan), (index, plan)
    assert len(re.findall(r"Index Cond: .*~>=~.*~<~", plan)) == len(PREFIXES)


def test_amounts_and_ids_are_read_from_their_indexes(many: None) -> None:
    plan = plan_of("108")
    for index in ("payment_by_amount", "refund_by_amount"):
        assert index in plan, plan
    assert "Seq Scan" not in plan
    plan = plan_of("0193a2b4")
    for index in ("payments_pkey", "orders_pkey", "refunds_pkey", "merchants_pkey"):
        assert index in plan, plan
    assert "Seq Scan" not in plan


def test_a_term_that_matches_every_row_reads_few_rows(many: None) -> None:
    term = parse_term("PAY-LONG-")
    assert term is not None
    ids = find_ids(term, list_channel_names()).of("payment_no")
    assert len(ids) == MAX_FOUND


def test_many_rows_of_the_other_environment_hide_nothing(vera: Client, client: SignedClient) -> None:
    """Sixty live payments have smaller numbers, the same amount and are newer."""
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    long_lists.fill(60)
    with without_triggers() as cursor:
        cursor.execute(
            "UPDATE payments SET environment = 'live', amount_minor = %s, currency = %s,"
            " payment_no = overlay(payment_no placing 'PAY-00000' from 1 for 8) WHERE id <> %s",
            [payment.amount_minor, payment.currency, payment.pk],
        )
        cursor.execute(
            "UPDATE payments SET created_at = created_at - interval '1 year' WHERE id = %s", [payment.pk]
        )
    for term in ("PAY-", f"{payment.currency} {payment.amount_minor / 100:.2f}"):
        assert found(vera, term)["Payments"] == [payment.payment_no], term


def test_an_amount_with_the_last_four_digits_finds_the_payment(vera: Client, client: SignedClient) -> None:
    payments = [Payment.objects.get(payment_no=shop.paid(client)["payment_no"]) for _ in range(2)]
    wanted, other = payments
    Payment.objects.filter(pk=wanted.pk).update(card_brand="visa", card_last_four="7777")
    Payment.objects.filter(pk=other.pk).update(card_last_four="8888")
    amount = f"{wanted.amount_minor / 100:.2f}"
    for term in (f"{amount} 7777", f"{wanted.currency} {amount} •••• 7777", f"**** 7777 {amount}"):
        assert found(vera, term) == {"Payments": [wanted.payment_no]}, term
    assert found(vera, f"{amount} 9999") == {}
