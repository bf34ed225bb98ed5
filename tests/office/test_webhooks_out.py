"""Webhook deliveries in the payment's timeline, on the dashboard and on the merchant's page."""

import json
import re
from collections.abc import Callable, Iterator
from html import unescape

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation

from audit.models import StaffAction
from backoffice.dashboard.figures import load_figures
from backoffice.services import endpoint_health
from backoffice.timeline.deliveries import deliveries
from backoffice.timeline.records import ROWS_PER_SOURCE, load_payment_records
from events.models import OutboxEvent
from gateway.models import Payment
from monitoring.lag import LAGS
from tests.office.test_dashboard import DAY
from tests.support import shop, webhooks
from tests.support.receiver import Receiver, WebhookResponse
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers
from tests.support.waiting import PATIENCE_SECONDS
from webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


@pytest.fixture
def sue(sign_in: Callable[..., Client], settings) -> Client:
    settings.LOCAL_STACK = True
    return sign_in("sue", "view_*", "staff.test_endpoint")


def paid(client: SignedClient) -> Payment:
    return Payment.objects.get(payment_no=shop.paid(client)["payment_no"])


def page(browser: Client, name: str, pk: object) -> str:
    answer = browser.get(reverse(f"admin:{name}_change", args=[pk]))
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def many_copies() -> None:
    """Adds deliveries of other payments, so that an index is worth its use."""
    with without_triggers() as cursor:
        cursor.execute(
            """INSERT INTO outbox_events SELECT (jsonb_populate_record(e, jsonb_build_object(
                'id', 1000000 + n, 'event_id', gen_random_uuid(), 'ordering_key', 'COPY-' || n))).*
            FROM outbox_events AS e, generate_series(1, 2000) AS n
            WHERE e.id = (SELECT id FROM outbox_events LIMIT 1)"""
        )
        cursor.execute(
            """INSERT INTO webhook_deliveries SELECT (jsonb_populate_record(d, jsonb_build_object(
                'id', gen_random_uuid(), 'event_id', 1000000 + n))).*
            FROM webhook_deliveries AS d, generate_series(1, 2000) AS n
            WHERE d.id = (SELECT id FROM webhook_deliveries LIMIT 1)"""
        )
        cursor.execute(
            """INSERT INTO webhook_attempts SELECT (jsonb_populate_record(a, jsonb_build_object(
                'id', nextval(pg_get_serial_sequence('webhook_attempts', 'id')), 'delivery_id', d.id))).*
            FROM webhook_attempts AS a, webhook_deliveries AS d
            WHERE a.id = (SELECT min(id) FROM webhook_attempts) AND d.event_id > 1000000"""
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE outbox_events, webhook_deliveries, webhook_attempts")


def plans(statements: list[str]) -> list[str]:
    """Returns the plans with sequential scans switched off, because small tables are scanned as cheaply: a scan appears
    only where no index helps."""
    found = []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for statement in statements:
            cursor.execute(f"EXPLAIN {statement}")
            found.append("\n".join(line for (line,) in cursor.fetchall()))
    return found


class TestTimeline:
    def test_every_attempt_is_shown_with_its_outcome(self, client, receiver, sue) -> None:
        webhooks.registered(client, receiver.url(), event_types=["payment.succeeded"])
        receiver.respond = lambda _webhook: WebhookResponse(503)
        payment = paid(client)
        webhooks.deliver_due()
        receiver.respond = lambda _webhook: WebhookResponse(200)
        webhooks.make_attempts_due()
        webhooks.deliver_due()
        with translation.override("en"):
            entries = list(deliveries(load_payment_records(payment)))
        assert [(entry.title, entry.name) for entry in entries] == [
            ("Success", "payment.succeeded"),
            ("Error response", "payment.succeeded"),
        ]
        assert all(entry.duration_ms is not None for entry in entries)
        html = page(sue, "gateway_payment", payment.pk)
        delivery = WebhookDelivery.objects.get()
        for shown in (
            "Webhook to the merchant",
            receiver.url(),
            "503",
            reverse("admin:webhooks_webhookdelivery_change", args=[delivery.pk]),
        ):
            assert shown in html, shown
        moments = re.findall(r'</div>\s*<time datetime="([^"]+)"', html)
        assert moments == sorted(moments, reverse=True)

    def test_deliveries_of_other_payments_are_not_shown(self, client, receiver) -> None:
        webhooks.registered(client, receiver.url())
        payment = paid(client)
        paid(client)
        webhooks.deliver_due()
        events = OutboxEvent.objects.filter(ordering_key__in=[payment.payment_no, payment.order_no])
        assert len(list(deliveries(load_payment_records(payment)))) == events.count() < len(receiver.received)

    def test_the_newest_are_shown_and_found_by_index(self, client, receiver, sue) -> None:
        webhooks.registered(client, receiver.url())
        payment = paid(client)
        webhooks.deliver_due()
        WebhookAttempt.objects.bulk_create(
            WebhookAttempt(delivery=WebhookDelivery.objects.latest("id"), fence=n, url="x", outcome="timeout")
            for n in range(10, ROWS_PER_SOURCE + 50)
        )
        many_copies()
        with CaptureQueriesContext(connection) as queries:
            entries = list(deliveries(load_payment_records(payment)))
        assert len(entries) == ROWS_PER_SOURCE
        for plan in plans([query["sql"] for query in queries if "webhook_" in query["sql"]]):
            assert not re.search("Seq Scan on (webhook_deliveries|webhook_attempts|outbox)", plan), plan
        with CaptureQueriesContext(connection) as queries:
            page(sue, "gateway_payment", payment.pk)
        assert len(queries) < 30


class TestLag:
    def lags(self) -> dict[str, int]:
        return {
            name: lag.count
            for name, lag in load_figures(span=DAY, by_day=False, environment="test").lags.items()
        }

    def test_it_counts_due_rows_and_shows_the_oldest(self, client, receiver) -> None:
        webhooks.registered(client, receiver.url(), event_types=["payment.succeeded"])
        paid(client)
        events = OutboxEvent.objects.count()
        assert self.lags() == {"outbox": events, "fan_out": events, "webhooks": 0}
        receiver.respond = lambda _webhook: WebhookResponse(500)
        webhooks.deliver_due()
        assert self.lags() == {"outbox": events, "fan_out": 0, "webhooks": 0}, (
            "the next attempt is in the future"
        )
        webhooks.make_attempts_due()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE webhook_deliveries SET due_at = due_at - interval '1 hour'")
        lag = load_figures(span=DAY, by_day=False, environment="test").lags["webhooks"]
        assert lag.count == 1
        assert lag.oldest_seconds is not None
        assert 3600 <= lag.oldest_seconds < 3600 + PATIENCE_SECONDS

    def test_nothing_is_due_at_a_disabled_endpoint(self, client, receiver) -> None:
        endpoint = webhooks.registered(client, receiver.url())
        paid(client)
        receiver.respond = lambda _webhook: WebhookResponse(500)
        webhooks.deliver_due()
        webhooks.make_attempts_due()
        assert self.lags()["webhooks"] > 0
        row = webhooks.endpoint_row(endpoint)
        row.status, row.disabled_reason, row.disabled_at = "disabled", "gone", row.created_at
        row.save()
        lag = load_figures(span=DAY, by_day=False, environment="test").lags["webhooks"]
        assert (lag.count, lag.oldest_seconds) == (0, None)

    def test_each_tile_leads_to_the_rows_that_it_counts(self, client, receiver, sue) -> None:
        webhooks.registered(client, receiver.url(), event_types=["payment.succeeded"])
        paid(client)
        html = unescape(sue.get(reverse("admin:index")).content.decode())
        links = re.findall(r'<a class="office-state[^"]*" href="([^"]+)"', html)
        fan_out, due = (next(link for link in links if part in link) for part in ("fanned_out", "due=yes"))
        assert len(sue.get(fan_out).context["cl"].result_list) == OutboxEvent.objects.count()
        assert html.count(f'href="{due}"') == 1, "the link is in the health section"
        receiver.respond = lambda _webhook: WebhookResponse(500)
        webhooks.deliver_due()
        assert not sue.get(due).context["cl"].result_list
        webhooks.make_attempts_due()
        assert len(sue.get(due).context["cl"].result_list) == 1

    def test_it_is_read_by_index(self, client, receiver) -> None:
        webhooks.registered(client, receiver.url())
        paid(client)
        webhooks.deliver_due()
        many_copies()
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {LAGS['webhooks']}", {"most": 1000})
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan on webhook_deliveries" not in plan, plan


class TestHealth:
    def test_it_shows_state_counts_and_the_last_success_and_failure(
        self, client, receiver, sue, acme
    ) -> None:
        endpoint = webhooks.registered(client, receiver.url(), event_types=["payment.succeeded"])
        webhooks.registered(client, receiver.url("/quiet"), event_types=["refund.failed"])
        paid(client)
        webhooks.deliver_due()
        receiver.respond = lambda _webhook: WebhookResponse(410)
        paid(client)
        webhooks.deliver_due()
        with translation.override("en"):
            first, second = endpoint_health.load_endpoint_health(merchant_id=acme.merchant.pk)
        assert first.counts == (1, 1, 0)
        assert first.state == "Disabled: Answered 410 Gone"
        assert first.succeeded_at is not None
        assert first.failed_at is not None
        assert first.succeeded_at < first.failed_at
        assert (second.counts, second.state, second.failed_at) == ((0, 0, 0), "Enabled", None)
        html = page(sue, "merchants_merchant", acme.merchant.pk)
        address = reverse("admin:webhooks_webhookendpoint_change", args=[endpoint["id"]])
        assert f'href="{address}">{receiver.url()}</a>' in html
        assert "Disabled: Answered 410 Gone" in html

    def test_its_cost_has_a_bound(self, client, receiver, acme, monkeypatch) -> None:
        webhooks.registered(client, receiver.url())
        paid(client)
        webhooks.deliver_due()
        many_copies()
        (health,) = endpoint_health.load_endpoint_health(merchant_id=acme.merchant.pk)
        assert health.is_truncated
        assert sum(health.counts) == endpoint_health.MAX_DELIVERIES
        with connection.cursor() as cursor:
            given = {
                "merchant": acme.merchant.pk,
                "endpoints": endpoint_health.MAX_ENDPOINTS,
                "deliveries": endpoint_health.MAX_DELIVERIES,
                "recent": endpoint_health.MAX_RECENT,
                "attempts": endpoint_health.MAX_ATTEMPTS,
            }
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {endpoint_health.HEALTH}", given)
            (plan_tree,) = cursor.fetchone()
        plan = json.dumps(plan_tree)
        assert "webhook_delivery_of_endpoint" in plan
        assert (
            max(int(rows) for rows in re.findall(r'"Actual Rows": (\d+)', plan))
            <= endpoint_health.MAX_DELIVERIES
        )


class TestTestCall:
    def address(self, endpoint: WebhookEndpoint) -> str:
        return reverse("admin:webhooks_webhookendpoint_test", args=[endpoint.pk])

    def test_it_sends_the_same_event_as_the_api_and_is_audited(self, client, receiver, sue) -> None:
        endpoint = webhooks.endpoint_row(webhooks.registered(client, receiver.url()))
        answer = sue.post(self.address(endpoint), {"reason": "merchant on the phone"})
        delivery = WebhookDelivery.objects.get()
        assert answer["Location"] == reverse("admin:webhooks_webhookdelivery_change", args=[delivery.pk])
        shop.data(client.post(f"{webhooks.ENDPOINTS}/{endpoint.pk}/test", {}))
        webhooks.deliver_due()
        mine, theirs = (json.loads(webhook.body) for webhook in receiver.received)
        assert mine["type"] == theirs["type"] == "webhook.test"
        assert mine["data"].keys() == theirs["data"].keys()
        done = StaffAction.objects.get()
        assert (done.actor, done.action, done.object_type, done.object_id, done.reason) == (
            "sue",
            "webhook_endpoint.test",
            "webhook_endpoint",
            str(endpoint.pk),
            "merchant on the phone",
        )
        assert done.after == {"delivery": str(delivery.pk)}

    def test_a_disabled_endpoint_is_not_called(self, client, receiver, sue) -> None:
        endpoint = webhooks.endpoint_row(webhooks.registered(client, receiver.url()))
        WebhookEndpoint.objects.update(status="disabled", disabled_reason="merchant", disabled_at=Now())
        assert sue.post(self.address(endpoint), {"reason": "x"}).status_code == 409
        assert not WebhookDelivery.objects.exists()
        assert not StaffAction.objects.exists()
