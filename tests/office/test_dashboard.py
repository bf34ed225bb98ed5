"""The dashboard: its figures are right, it makes few queries, and none of them reads every payment."""

import datetime as dt
import re
from collections.abc import Callable
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice.dashboard import aggregation
from backoffice.dashboard.figures import load_figures
from backoffice.dashboard.groups import PaidTotal
from backoffice.dashboard.models import LatencyHour, PaymentHour
from backoffice.work_queue.page import VIEW_PERMISSIONS
from gateway.models import Payment
from tests.support import shop
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

DAY = dt.timedelta(hours=24)


@pytest.fixture
def vera(sign_in: Callable[..., Client], settings) -> Client:
    settings.LOCAL_STACK = True
    return sign_in("vera", "view_*")


def shift(table: str, hours: int) -> None:
    with without_triggers() as cursor:
        cursor.execute(f"UPDATE {table} SET created_at = created_at - make_interval(hours => %s)", [hours])


def totals() -> dict[str, int]:
    figures = load_figures(span=DAY, by_day=False, environment="test")
    assert not figures.behind
    together: dict[str, int] = {}
    for outcomes in figures.by_moment.values():
        for outcome, count in outcomes.items():
            together[outcome] = together.get(outcome, 0) + count
    assert together == dict(figures.channels["simulator"].outcomes)
    (merchant,) = figures.merchants
    ended = {outcome: together.get(outcome, 0) for outcome in ("succeeded", "failed")}
    other = sum(together.values()) - sum(ended.values())
    assert dict(merchant.group.outcomes) == {**ended, "other": other}
    assert merchant.group.paid == figures.total.paid
    return together


def test_past_hours_and_the_current_hour_add_up_to_all_payments(client: SignedClient) -> None:
    shop.paid(client)
    shop.error(shop.create(client, "decline"), 402, "payment_declined")
    opened = shop.opened(client)
    shift("payments", 3)
    assert aggregation.aggregate_hours() > 0
    shop.paid(client)
    assert totals() == {"succeeded": 2, "failed": 1, "open": 1}
    assert load_figures(span=DAY, by_day=False, environment="test").total.paid == {
        "USD": PaidTotal(20_000, 0)
    }
    assert PaymentHour.objects.count() == 3
    shop.data(shop.cancel(client, opened))
    aggregation.aggregate_hours()
    assert totals() == {"succeeded": 2, "failed": 1, "closed": 1}
    aggregation.aggregate_hours()
    assert totals() == {"succeeded": 2, "failed": 1, "closed": 1}


def test_calls_are_added_up_once(client: SignedClient) -> None:
    shop.paid(client)
    shift("saga_events", 1)
    for _each in range(2):
        aggregation.aggregate_hours()
    assert sum(LatencyHour.objects.values_list("count", flat=True)) == 1
    (latency,) = load_figures(span=DAY, by_day=False, environment="test").latencies
    assert (latency.channel, latency.calls) == ("simulator", 1)
    assert latency.p50_ms == latency.p95_ms > 0


def test_the_page_shows_figures_that_lead_to_lists(vera: Client, client: SignedClient) -> None:
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    Payment.objects.filter(pk=payment.pk).update(needs_attention=True)
    aggregation.aggregate_hours()
    for chosen in ("24h", "7d", "30d", "nonsense"):
        with CaptureQueriesContext(connection) as queries:
            answer = vera.get(reverse("admin:index"), {"range": chosen})
        assert answer.status_code == 200
        assert len(queries) <= 18, [query["sql"] for query in queries]
    html = unescape(answer.content.decode())
    assert "100.00 USD" in html
    assert '<rect class="office-part-succeeded"' in html
    links = re.findall(r'<a class="office-tile[^"]*" href="([^"]+)"', html)
    links += re.findall(r'<a (?:class="text-link" )?href="([^"]+created_from=[^"]+)"', html)
    assert f"merchant={payment.merchant_id}&" in links[-1]
    assert len(links) >= 9
    assert sum("/queue/?kind=" in link for link in links) == len(VIEW_PERMISSIONS)
    for link in links:
        shown = vera.get(link)
        assert shown.status_code == 200, link
        if "created_from" in link:
            assert [row.pk for row in shown.context["cl"].result_list] == [payment.pk]


def test_no_tile_leads_to_a_list_that_the_role_cannot_view(sign_in: Callable[..., Client]) -> None:
    sue = sign_in("sue", "gateway.view_payment", "sagas.view_sagainstance")
    html = unescape(sue.get(reverse("admin:index")).content.decode())
    links = re.findall(r'<a class="office-tile[^"]*" href="([^"]+)"', html)
    assert [link.partition("&")[0] for link in links] == [
        f"/admin/queue/?kind={kind}" for kind in ("payment", "refund", "saga")
    ]
    assert {sue.get(link).status_code for link in links} == {200}


def test_the_period_before_is_compared(vera: Client, client: SignedClient) -> None:
    shop.paid(client)
    shift("payments", 30)
    with without_triggers() as cursor:
        cursor.execute("UPDATE payments SET paid_at = paid_at - interval '30 hours'")
    shop.paid(client, amount=20_000)
    shop.paid(client, amount=20_000)
    aggregation.aggregate_hours()
    figures = load_figures(span=DAY, by_day=False, environment="test")
    assert figures.total.previous_outcomes == {"succeeded": 1}
    assert figures.total.previous_paid == {"USD": PaidTotal(10_000, 0)}
    (merchant,) = figures.merchants
    assert merchant.group.previous_outcomes.total() == 1
    assert (merchant.group.paid, merchant.group.previous_paid) == (
        figures.channels["simulator"].paid,
        figures.total.previous_paid,
    )
    html = unescape(vera.get(reverse("admin:index")).content.decode())
    assert "+100.0 % compared with the previous period" in html
    assert "+300.0 %" in html


def test_staff_who_cannot_view_payments_see_no_figures(sign_in: Callable[..., Client]) -> None:
    answer = sign_in("nobody").get(reverse("admin:index"))
    assert answer.status_code == 200
    assert b"office-tile" not in answer.content


def test_no_figure_reads_every_payment(client: SignedClient) -> None:
    shop.paid(client)
    with without_triggers() as cursor:
        cursor.execute(
            # LATERAL: with `(function(…)).*` the function would run once for each column.
            """INSERT INTO payments SELECT copy.* FROM payments AS p, generate_series(1, 4000) AS n,
            LATERAL jsonb_populate_record(p, jsonb_build_object(
                'id', gen_random_uuid(), 'payment_no', 'COPY-' || n, 'order_no', 'COPY-' || n,
                'order_id', gen_random_uuid(), 'created_at', now() - n * interval '1 minute',
                'paid_at', now() - n * interval '1 minute')) AS copy
            WHERE p.payment_no NOT LIKE 'COPY-%'"""
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE payments")
    aggregation.aggregate_hours()
    with CaptureQueriesContext(connection) as queries:
        load_figures(span=dt.timedelta(days=30), by_day=True, environment="test")
    with connection.cursor() as cursor:
        for query in queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan on payments" not in plan, plan


def test_paid_by_currency_is_what_was_captured_when_it_was_paid(vera: Client, client: SignedClient) -> None:
    """The total has captured amounts, not authorized ones, by the day of payment. Refunds are shown beside it."""
    shop.paid(client, amount=5_000)
    captured = shop.authorized(client, amount=10_000)
    shop.data(shop.capture(client, captured, amount=6_000))
    shop.authorized(client, amount=77_000)
    refunded = shop.paid(client, amount=3_000, currency="JPY")
    shop.data(shop.refund(client, refunded, 1_000))
    old = shop.paid(client, amount=400)
    shift("payments", 24 * 40)  # all were created 40 days ago, and paid today
    Payment.objects.filter(payment_no=old["payment_no"]).update(
        paid_at=Payment.objects.get(payment_no=old["payment_no"]).created_at
    )
    aggregation.aggregate_hours()
    figures = load_figures(span=DAY, by_day=False, environment="test")
    assert figures.total.paid == {"JPY": PaidTotal(3_000, 1_000), "USD": PaidTotal(11_000, 0)}
    shift("payments", 4)  # a merchant without payments in the period has no row
    aggregation.rebuild()
    assert load_figures(span=DAY, by_day=False, environment="test").merchants == []
    html = unescape(vera.get(reverse("admin:index")).content.decode())
    assert [text in html for text in ("110.00 USD", "3,000 JPY", "1,000 JPY", "2,000 JPY")] == [True] * 4
    (link,) = re.findall(r'href="([^"]+currency=USD&[^"]+paid_from=[^"]+)"', html)
    shown = vera.get(link).context["cl"].result_list
    assert sum(payment.captured_minor for payment in shown) == 11_000
