"""The worker process: it is fair between endpoints, limits the calls to each, and loses nothing when it is killed."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from common.crypto import seal
from events.models import OutboxEvent
from merchants.services import NewMerchant
from tests.support.receiver import ReceivedWebhook, Receiver, WebhookResponse
from tests.support.shop import opened
from tests.support.signing import SignedClient
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.webhooks import deliver_due, make_attempts_due, registered
from webhooks import claims, fanout, worker
from webhooks.models import DeliveryStatus, Lane, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from webhooks.signing import new_secret

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

HEALTHY, SLOW, DEAD = 160, 20, 20


@contextmanager
def running_worker(threads: int) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.WebhookWorker(threads=threads).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def create_endpoints(
    acme: NewMerchant, receiver: Receiver, *, healthy: int = 0, slow: int = 0, dead: int = 0
) -> None:
    secret = seal(new_secret())
    kinds = ["healthy"] * healthy + ["slow"] * slow + ["dead"] * dead
    WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(
            merchant=acme.merchant,
            environment="test",
            url=receiver.url(f"/{kind}/{number}"),
            sealed_secret=secret,
        )
        for number, kind in enumerate(kinds)
    )


def test_healthy_endpoints_do_not_wait_for_slow_and_dead_ones(
    acme: NewMerchant,
    client: SignedClient,
    receiver: Receiver,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 200 endpoints, 20 are slow and 20 are dead: calls to these hang until the test releases them, so every healthy
    endpoint is called while they hang. There are fewer places than slow and dead endpoints could hold."""
    # Even on a slow machine, no hanging call times out before the test releases it: another call would follow it.
    settings.WEBHOOK_TIMEOUT_SECONDS = 2 * PATIENCE_SECONDS
    claim_all = claims.claim_deliveries
    monkeypatch.setattr(
        claims, "claim_deliveries", lambda **wanted: claim_all(**wanted, lease_seconds=4 * PATIENCE_SECONDS)
    )
    create_endpoints(acme, receiver, healthy=HEALTHY, slow=SLOW, dead=DEAD)
    release = threading.Event()

    def answer(webhook: ReceivedWebhook) -> WebhookResponse:
        if not webhook.path.startswith("/healthy"):
            release.wait(PATIENCE_SECONDS)
        return WebhookResponse(200 if not webhook.path.startswith("/dead") else 500)

    receiver.respond = answer
    # They were slow or dead before, so they are in the slow lane.
    WebhookEndpoint.objects.exclude(url__contains="/healthy/").update(lane=Lane.SLOW)
    for _ in range(3):
        opened(client)
    while fanout.fan_out_batch():
        pass
    healthy = WebhookDelivery.objects.filter(endpoint__url__contains="/healthy/")
    try:
        with running_worker(threads=32):
            wait_until(
                lambda: not healthy.exclude(status=DeliveryStatus.DELIVERED).exists(),
                PATIENCE_SECONDS,
                "every healthy endpoint to be called while the others hang",
                interval=0.2,
            )
            held = [webhook for webhook in receiver.received if not webhook.path.startswith("/healthy")]
            assert 0 < len(held) <= 8, "the slow lane has a quarter of the places"
            release.set()
    finally:
        release.set()
    assert healthy.count() == HEALTHY * 3


def test_a_claim_takes_one_delivery_of_each_endpoint_first(acme: NewMerchant, client: SignedClient) -> None:
    """The long backlog of one endpoint delays no other."""
    busy = registered(client, "http://127.0.0.1:9/busy")
    for _ in range(10):
        opened(client)
    deliver_due(())
    others = [registered(client, f"http://127.0.0.1:9/{number}")["id"] for number in range(3)]
    opened(client)
    deliver_due(())
    taken = [str(claim.endpoint_id) for claim in claims.claim_deliveries(lane=Lane.FAST, places=4)]
    assert Counter(taken) == Counter([busy["id"], *others])


def test_a_place_goes_to_the_merchant_with_the_fewest_calls(
    acme: NewMerchant, client: SignedClient, other_client: SignedClient
) -> None:
    """One merchant with many fast endpoints and a backlog holds every place. The next free one goes to another
    merchant."""
    create_endpoints(acme, Receiver(), healthy=10)
    for _ in range(3):
        opened(client)
    deliver_due(())
    WebhookDelivery.objects.update(due_at=Now() - timedelta(minutes=10))
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=6)) == 6
    other = registered(other_client, "http://127.0.0.1:9/hook")["id"]
    opened(other_client)
    deliver_due(())
    (taken,) = claims.claim_deliveries(lane=Lane.FAST, places=1)
    assert str(taken.endpoint_id) == other
    busy = {taken.endpoint_id for taken in claims.claim_deliveries(lane=Lane.FAST, places=4)}
    assert len(busy) == 4, "endpoints without a call in flight come before the others of the same merchant"
    assert WebhookDelivery.objects.exclude(lease_expires_at=None).values("endpoint").distinct().count() == 11


def test_an_endpoint_has_a_limited_number_of_calls_in_flight(client: SignedClient) -> None:
    registered(client, "http://127.0.0.1:9/hook")
    for _ in range(10):
        opened(client)
    deliver_due(())
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=100)) == claims.MAX_CALLS_IN_FLIGHT[Lane.FAST]
    assert claims.claim_deliveries(lane=Lane.FAST, places=100) == []
    WebhookDelivery.objects.update(lease_expires_at=None)
    WebhookEndpoint.objects.update(lane=Lane.SLOW)
    assert claims.claim_deliveries(lane=Lane.FAST, places=100) == []
    assert len(claims.claim_deliveries(lane=Lane.SLOW, places=100)) == claims.MAX_CALLS_IN_FLIGHT[Lane.SLOW]


def test_a_stalled_endpoint_gets_no_further_call_in_the_fast_lane(client: SignedClient) -> None:
    """An endpoint that has just died: its next delivery waits until the first call ends."""
    registered(client, "http://127.0.0.1:9/hook")
    for _ in range(3):
        opened(client)
    deliver_due(())
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=1)) == 1
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=1)) == 1
    WebhookDelivery.objects.exclude(lease_expires_at=None).update(
        lease_expires_at=F("lease_expires_at") - timedelta(seconds=claims.SLOW_SECONDS)
    )
    assert claims.claim_deliveries(lane=Lane.FAST, places=100) == []
    WebhookDelivery.objects.update(lease_expires_at=None)
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=100)) == 1


def test_calls_in_flight_hold_no_database_connection(
    acme: NewMerchant, client: SignedClient, receiver: Receiver
) -> None:
    """There are more calls in flight than connections in the pool."""
    many = connection.settings_dict["OPTIONS"]["pool"]["max_size"] + 4
    create_endpoints(acme, receiver, dead=many)
    opened(client)
    while fanout.fan_out_batch():
        pass
    release = threading.Event()

    def answer(_webhook: ReceivedWebhook) -> WebhookResponse:
        release.wait(PATIENCE_SECONDS)
        return WebhookResponse()

    receiver.respond = answer
    try:
        with running_worker(threads=many):
            wait_until(lambda: len(receiver.received) == many, PATIENCE_SECONDS, "all to be called")
            release.set()
    finally:
        release.set()


def test_two_workers_never_claim_the_same_delivery(
    client: SignedClient, acme: NewMerchant, receiver: Receiver
) -> None:
    create_endpoints(acme, receiver, healthy=HEALTHY)
    opened(client)
    with running_worker(threads=8), running_worker(threads=8):
        while fanout.fan_out_batch():
            pass
        wait_until(
            lambda: not WebhookDelivery.objects.filter(status=DeliveryStatus.PENDING).exists(),
            PATIENCE_SECONDS,
            "all to be delivered",
            interval=0.2,
        )
    assert len(receiver.received) == HEALTHY
    assert WebhookAttempt.objects.count() == HEALTHY


def test_two_fan_outs_make_each_delivery_once(client: SignedClient, acme: NewMerchant, monkeypatch) -> None:
    from tests.support.threads import at_once

    monkeypatch.setattr(fanout, "BATCH", 3)
    registered(client, "http://127.0.0.1:9/hook")
    for _ in range(12):
        opened(client, callback_url="http://127.0.0.1:9/callback")

    def all_of_it() -> int:
        taken = 0
        while more := fanout.fan_out_batch():
            taken += more
        return taken

    assert sum(at_once(all_of_it, all_of_it, all_of_it)) == 12
    assert all_of_it() == 0
    assert WebhookDelivery.objects.count() == 24
    assert not OutboxEvent.objects.filter(fanned_out_at=None).exists()


@pytest.mark.parametrize("point", ["webhook.call.before", "webhook.call.after"])
def test_a_killed_worker_loses_nothing(client: SignedClient, receiver: Receiver, point: str) -> None:
    """SIGKILL before and after the call: when its lease expires, the delivery is claimed again, under the same id."""
    registered(client, receiver.url())
    opened(client)
    deliver_due(())
    environment = {
        **os.environ,
        "DB_NAME": str(connection.settings_dict["NAME"]),
        "CRASH_POINTS": "1",
        "PAYMENT_CRASH_AT": point,
    }
    command = [sys.executable, "manage.py", "deliver_webhooks"]
    with subprocess.Popen(command, env=environment) as process:
        assert process.wait(PATIENCE_SECONDS) == -9
    assert len(receiver.received) == (1 if point.endswith("after") else 0)
    assert deliver_due() == [], "the lease of the killed worker has not expired"
    assert WebhookAttempt.objects.get().outcome == "in_flight"
    make_attempts_due()
    (reply,) = deliver_due()
    assert reply.outcome == "success"
    assert list(WebhookAttempt.objects.order_by("id").values_list("outcome", flat=True)) == [
        "abandoned",
        "success",
    ]
    assert len({webhook.message_id for webhook in receiver.received}) == 1
    assert WebhookDelivery.objects.filter(lease_expires_at__gt=Now()).count() == 0


def test_the_command_finishes_its_calls_on_sigterm_and_claims_nothing_more(
    client: SignedClient, receiver: Receiver
) -> None:
    """The endpoint answers only when another delivery is due, some time after the signal."""
    registered(client, receiver.url())
    opened(client)
    deliver_due(())
    answered = threading.Event()

    def answer(_webhook: ReceivedWebhook) -> WebhookResponse:
        answered.wait(PATIENCE_SECONDS)
        return WebhookResponse()

    receiver.respond = answer
    environment = {
        **os.environ,
        "DB_NAME": str(connection.settings_dict["NAME"]),
        "WEBHOOK_TIMEOUT_SECONDS": "29",
        "WEBHOOK_THREADS": "1",
    }
    command = [sys.executable, "manage.py", "deliver_webhooks"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: receiver.received, PATIENCE_SECONDS, "the call")
        process.terminate()
        opened(client)
        deliver_due(())
        assert process.poll() is None, "it has ended in the middle of a call"
        answered.set()
        _out, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "worker.stopped" in log
    assert "Traceback" not in log
    assert len(receiver.received) == 1
    statuses = WebhookDelivery.objects.order_by("id").values_list("status", flat=True)
    assert list(statuses) == [DeliveryStatus.DELIVERED, DeliveryStatus.PENDING]
    assert WebhookDelivery.objects.filter(lease_expires_at__gt=Now()).count() == 0


def test_a_timeout_longer_than_the_lease_is_refused_at_start() -> None:
    environment = {**os.environ, "WEBHOOK_TIMEOUT_SECONDS": "60"}
    command = [sys.executable, "manage.py", "check"]
    refused = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert refused.returncode != 0
    assert "WEBHOOK_TIMEOUT_SECONDS" in refused.stderr
