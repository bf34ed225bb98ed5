"""Webhooks over real HTTP: each is delivered at least once."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from channels.base import ChannelRefund, PaymentState, RefundState, WebhookEvent, WebhookRequest
from channels.simulator import ledger, notifications
from channels.simulator.channel import SimulatorChannel
from channels.simulator.models import Notification
from common.clock import database_now
from tests.simulator.conftest import Shop, at_once
from tests.support.channels import TEST_ACCOUNT
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@dataclass
class SimulatorReceiver:
    """A server at the platform's webhook address. Answers with `statuses` first, then with 200."""

    channel: SimulatorChannel
    statuses: list[int] = field(default_factory=list)
    events: list[WebhookEvent] = field(default_factory=list)

    def take(self, body: bytes, headers: Any) -> int:
        event = self.channel.parse_webhook(TEST_ACCOUNT, WebhookRequest(body, headers))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.events.append(event)
        return status

    @property
    def types(self) -> list[str]:
        return [event.event_type for event in self.events]


@pytest.fixture
def receiver(
    channel: SimulatorChannel, settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SimulatorReceiver]:
    monkeypatch.setattr(notifications, "HTTP_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(notifications, "BATCH_SECONDS", PATIENCE_SECONDS)
    taken = SimulatorReceiver(channel)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = taken.take(self.rfile.read(int(self.headers["Content-Length"])), self.headers)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.SIMULATOR_WEBHOOK_URL = f"http://127.0.0.1:{server.server_port}/api/v1/webhooks/simulator"
    yield taken
    server.shutdown()
    server.server_close()


def _make_due() -> None:
    Notification.objects.filter(due_at__isnull=False).update(due_at=Now())


def test_each_change_of_a_payment_sends_a_webhook(
    channel: SimulatorChannel, shop: Shop, receiver: SimulatorReceiver
) -> None:
    payment = shop.pay(manual_capture=True)
    captured = channel.capture_payment(shop.capture(payment.reference, 6_000))
    refund = channel.refund_payment(shop.refund(payment.reference, 2_000))
    assert notifications.deliver_due_notifications() == 3
    assert receiver.types == ["payment.authorized", "payment.paid", "refund.succeeded"]
    assert receiver.events[0].updates == (payment,)
    assert receiver.events[1].updates == (captured.value,)
    assert receiver.events[2].updates == (refund.value,)
    assert notifications.deliver_due_notifications() == 0


def test_declines_and_cancellations_send_a_webhook(
    channel: SimulatorChannel, shop: Shop, receiver: SimulatorReceiver
) -> None:
    channel.create_payment(shop.creation("auto_pay,pay_declined"))
    channel.cancel_payment(shop.cancellation(shop.create().reference))
    channel.refund_payment(shop.refund(shop.pay("refund_fails_later:0").reference))
    notifications.deliver_due_notifications()
    assert sorted(receiver.types) == [
        "payment.cancelled",
        "payment.declined",
        "payment.paid",
        "refund.failed",
    ]
    refund = next(
        each for event in receiver.events for each in event.updates if isinstance(each, ChannelRefund)
    )
    assert (refund.state, refund.failure_code) == (RefundState.FAILED, "refund_failed")


def test_a_duplicate_webhook_has_the_same_event_id(shop: Shop, receiver: SimulatorReceiver) -> None:
    shop.pay("duplicate_webhook")
    assert notifications.deliver_due_notifications() == 2
    assert receiver.events[0] == receiver.events[1]
    assert notifications.deliver_due_notifications() == 0


def test_a_late_webhook(shop: Shop, receiver: SimulatorReceiver) -> None:
    shop.pay("late_webhook:60")
    assert notifications.deliver_due_notifications() == 0
    Notification.objects.update(due_at=F("due_at") - timedelta(seconds=61))
    notifications.deliver_due_notifications()
    assert receiver.types == ["payment.paid"]


def test_webhooks_out_of_order(
    shop: Shop, receiver: SimulatorReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "OUT_OF_ORDER_SECONDS", 3600.0)
    shop.pay("out_of_order_webhook")
    assert notifications.deliver_due_notifications() == 1
    _make_due()
    notifications.deliver_due_notifications()
    states = [each.state for event in receiver.events for each in event.updates]
    assert receiver.types == ["payment.paid", "payment.processing"]
    assert states == [PaymentState.PAID, PaymentState.PROCESSING]


def test_a_payment_without_webhooks(shop: Shop, receiver: SimulatorReceiver) -> None:
    shop.pay("no_webhook")
    assert notifications.deliver_due_notifications() == 0
    assert not Notification.objects.exists()


@pytest.mark.parametrize("status", [301, 400, 404, 500])
def test_a_refused_webhook_is_sent_again_later(
    shop: Shop, receiver: SimulatorReceiver, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(notifications, "BATCH", 1)  # on a slow machine, the same batch may find it due again
    receiver.statuses = [status, status]
    shop.pay()
    pauses = []
    for _ in range(2):
        before = database_now()
        assert notifications.deliver_due_notifications() == 1
        after = database_now()
        row = Notification.objects.get()
        assert row.due_at is not None
        pauses.append((row.due_at - after, row.due_at - before))
        assert str(status) in row.last_error
        Notification.objects.update(due_at=F("due_at") + timedelta(hours=1))
        assert notifications.deliver_due_notifications() == 0, "the webhook is not due yet"
        _make_due()
    for seconds, (at_least, at_most) in zip((1, 2), pauses, strict=True):
        assert at_least <= timedelta(seconds=seconds) <= at_most
    notifications.deliver_due_notifications()
    assert receiver.types == ["payment.paid"]
    assert Notification.objects.get().due_at is None


def test_a_receiver_that_is_down(shop: Shop, settings) -> None:
    settings.SIMULATOR_WEBHOOK_URL = "http://127.0.0.1:1/nowhere"
    shop.pay()
    notifications.deliver_due_notifications()
    row = Notification.objects.get()
    assert row.due_at is not None
    assert "refused" in row.last_error


def test_sending_ends_after_the_last_attempt(shop: Shop, settings) -> None:
    settings.SIMULATOR_WEBHOOK_URL = "http://127.0.0.1:1/nowhere"
    shop.pay()
    Notification.objects.update(attempts=notifications.MAX_ATTEMPTS - 1)
    notifications.deliver_due_notifications()
    row = Notification.objects.get()
    assert (row.due_at, row.delivered_at) == (None, None)


def test_parallel_senders_send_each_webhook_once(shop: Shop, receiver: SimulatorReceiver) -> None:
    for _ in range(20):
        shop.pay()
    assert sum(at_once(*[notifications.deliver_due_notifications] * 4)) == 20
    assert len({event.event_id for event in receiver.events}) == len(receiver.events) == 20


def test_no_two_senders_claim_one_webhook(shop: Shop) -> None:
    for _ in range(60):
        shop.pay()

    def claim_all() -> list[str]:
        return [attempt.event_id for attempt in iter(notifications._claim, None)]

    claimed = [event_id for mine in at_once(*[claim_all] * 8) for event_id in mine]
    assert len(set(claimed)) == len(claimed) == 60


def test_a_webhook_of_a_dead_sender_is_sent_by_another(shop: Shop, receiver: SimulatorReceiver) -> None:
    shop.pay()
    stale = notifications._claim()
    assert stale is not None
    assert notifications.deliver_due_notifications() == 0, "claimed by the dead sender"
    _make_due()
    assert notifications.deliver_due_notifications() == 1
    notifications._send(stale)
    assert Notification.objects.get().deliveries_left == 0, "the stale sender records nothing"
