"""The worker process: fair between endpoints, bounded for each, and killed without loss."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from common.crypto import seal
from events.models import OutboxEvent
from merchants.services import NewMerchant
from tests.support.receiver import Answer, Receiver, Told
from tests.support.shop import opened
from tests.support.signing import SignedClient
from tests.support.waiting import wait_until
from tests.support.webhooks import deliver_due, next_attempts_are_due, registered
from webhooks import claims, fanout, worker
from webhooks.models import DeliveryStatus, Lane, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from webhooks.signing import new_secret

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

HEALTHY, SLOW, DEAD = 160, 20, 20
PATIENCE_SECONDS = 90.0


@contextmanager
def working(threads: int) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=worker.WebhookWorker(threads=threads).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def many_endpoints(
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


def test_the_healthy_do_not_wait_for_the_slow_and_the_dead(
    acme: NewMerchant, client: SignedClient, receiver: Receiver
) -> None:
    """200 endpoints, 20 of them slow and 20 dead: calls to those hang until the test lets them go, so whatever
    reaches the healthy ones meanwhile reached them first. Places for calls are fewer than bad ones could hold."""
    many_endpoints(acme, receiver, healthy=HEALTHY, slow=SLOW, dead=DEAD)
    let_go = threading.Event()

    def answer(told: Told) -> Answer:
        if not told.path.startswith("/healthy"):
            let_go.wait(PATIENCE_SECONDS)
        return Answer(200 if not told.path.startswith("/dead") else 500)

    receiver.answer = answer
    # They were slow and dead before: their lane is known.
    WebhookEndpoint.objects.exclude(url__contains="/healthy/").update(lane=Lane.SLOW)
    for _ in range(3):
        opened(client)
    while fanout.fan_out_batch():
        pass
    healthy = WebhookDelivery.objects.filter(endpoint__url__contains="/healthy/")
    try:
        with working(threads=32):
            wait_until(
                lambda: not healthy.exclude(status=DeliveryStatus.DELIVERED).exists(),
                PATIENCE_SECONDS,
                "every healthy endpoint to be told, while the others hang",
                interval=0.2,
            )
            held = [told for told in receiver.told if not told.path.startswith("/healthy")]
            assert 0 < len(held) <= 8, "the slow lane has a quarter of the places"
            let_go.set()
    finally:
        let_go.set()
    assert healthy.count() == HEALTHY * 3


def test_one_round_is_everybodys_first_before_anybodys_second(
    acme: NewMerchant, client: SignedClient
) -> None:
    """A long backlog of one endpoint hides nobody."""
    busy = registered(client, "http://127.0.0.1:9/busy")
    for _ in range(10):
        opened(client)
    deliver_due(())
    others = [registered(client, f"http://127.0.0.1:9/{number}")["id"] for number in range(3)]
    opened(client)
    deliver_due(())
    taken = [str(claim.endpoint_id) for claim in claims.claim_deliveries(lane=Lane.FAST, places=4)]
    assert Counter(taken) == Counter([busy["id"], *others])


def test_a_place_goes_to_the_merchant_that_has_the_fewest(
    acme: NewMerchant, client: SignedClient, other_client: SignedClient
) -> None:
    """One with many endpoints, all quick and all far behind, has every place: the next free one is another's."""
    many_endpoints(acme, Receiver(), healthy=10)
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
    assert len(busy) == 4, "and those that have none in flight come before the others of the same merchant"
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


def test_a_call_that_goes_on_for_long_is_the_only_one_among_the_quick(client: SignedClient) -> None:
    """An endpoint that died just now: what it is told next waits for what it does with the first."""
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


def test_calls_that_hang_keep_no_connection(
    acme: NewMerchant, client: SignedClient, receiver: Receiver
) -> None:
    """More of them than the pool has connections are under way at once."""
    many = connection.settings_dict["OPTIONS"]["pool"]["max_size"] + 4
    many_endpoints(acme, receiver, dead=many)
    opened(client)
    while fanout.fan_out_batch():
        pass
    let_go = threading.Event()

    def answer(_told: Told) -> Answer:
        let_go.wait(PATIENCE_SECONDS)
        return Answer()

    receiver.answer = answer
    try:
        with working(threads=many):
            wait_until(lambda: len(receiver.told) == many, PATIENCE_SECONDS, "all to be called")
            let_go.set()
    finally:
        let_go.set()


def test_two_workers_never_take_the_same(client: SignedClient, acme: NewMerchant, receiver: Receiver) -> None:
    many_endpoints(acme, receiver, healthy=HEALTHY)
    opened(client)
    with working(threads=8), working(threads=8):
        while fanout.fan_out_batch():
            pass
        wait_until(
            lambda: not WebhookDelivery.objects.filter(status=DeliveryStatus.PENDING).exists(),
            PATIENCE_SECONDS,
            "all to be told",
            interval=0.2,
        )
    assert len(receiver.told) == HEALTHY
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
    """SIGKILL before and after the call: the delivery is taken again when its lease ends, under the same id."""
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
    assert len(receiver.told) == (1 if point.endswith("after") else 0)
    assert deliver_due() == [], "the dead worker's lease holds"
    assert WebhookAttempt.objects.get().outcome == "in_flight"
    next_attempts_are_due()
    (reply,) = deliver_due()
    assert reply.outcome == "success"
    assert list(WebhookAttempt.objects.order_by("id").values_list("outcome", flat=True)) == [
        "abandoned",
        "success",
    ]
    assert len({told.message_id for told in receiver.told}) == 1
    assert WebhookDelivery.objects.filter(lease_expires_at__gt=Now()).count() == 0


def test_the_command_delivers_and_ends_cleanly_on_sigterm(client: SignedClient, receiver: Receiver) -> None:
    registered(client, receiver.url())
    opened(client)
    deliver_due(())
    environment = {**os.environ, "DB_NAME": str(connection.settings_dict["NAME"])}
    command = [sys.executable, "manage.py", "deliver_webhooks"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: receiver.told, PATIENCE_SECONDS, "the call")
        process.terminate()
        _out, log = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    assert "worker.stopped" in log
    assert "Traceback" not in log
    assert WebhookDelivery.objects.get().status == DeliveryStatus.DELIVERED


def test_a_timeout_that_outlasts_the_lease_is_refused_at_start() -> None:
    environment = {**os.environ, "WEBHOOK_TIMEOUT_SECONDS": "60"}
    command = [sys.executable, "manage.py", "check"]
    refused = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert refused.returncode != 0
    assert "WEBHOOK_TIMEOUT_SECONDS" in refused.stderr
