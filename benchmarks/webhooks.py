"""The delay of healthy endpoints while others are slow or dead, compared with only healthy ones in the same run.

    python -m scripts.local.testing python -m benchmarks.webhooks [--seconds 30] [--rate 40]

200 merchants have an endpoint each on loopback, served by `manage.py relay` and `manage.py deliver_webhooks`. Of the
bad ones, 20 answer after five seconds and 20 never; the worker does not know them when it starts. The delay is from
the commit of an event to the moment at which its endpoint has read it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"

import django

django.setup()

from django.core.management import call_command
from django.db import transaction

from common.crypto import seal
from events.models import OutboxEvent
from events.outbox import Event, build_event_row
from merchants.models import Merchant
from merchants.services import create_merchant
from tests.support.receiver import ReceivedWebhook, Receiver, WebhookResponse
from webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from webhooks.signing import new_secret

ENDPOINTS, SLOW, DEAD = 200, 20, 20
SLOW_SECONDS = 5.0
PATIENCE_SECONDS = 120.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=30)
    options.add_argument(
        "--rate", type=int, default=40, help="events a second, to one endpoint after the other"
    )
    chosen = options.parse_args()
    call_command("migrate", verbosity=0)
    merchants = [
        create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com").merchant
        for _number in range(ENDPOINTS)
    ]
    medians = []
    for slow, dead in ((0, 0), (SLOW, DEAD)):
        delays = sorted(_delays(merchants, chosen.seconds * chosen.rate, chosen.rate, slow=slow, dead=dead))
        medians.append(statistics.median(delays))
        p99 = statistics.quantiles(delays, n=100)[98]
        print(
            f"{ENDPOINTS - slow - dead} healthy, {slow} slow, {dead} dead: {len(delays)} deliveries to the healthy,"
            f" median {medians[-1] * 1000:.0f} ms   p99 {p99 * 1000:.0f} ms"
        )
    print(f"ratio of the medians: {medians[1] / medians[0]:.2f} (aim: a median below 1000 ms)")


def _delays(merchants: list[Merchant], events: int, rate: int, *, slow: int, dead: int) -> list[float]:
    """Seconds from commit to arrival at the healthy endpoints."""
    for model in (WebhookAttempt, WebhookDelivery, WebhookEndpoint, OutboxEvent):
        model.objects.all().delete()
    kinds = ["slow"] * slow + ["dead"] * dead + ["healthy"] * (ENDPOINTS - slow - dead)
    let_go = threading.Event()

    def answer(webhook: ReceivedWebhook) -> WebhookResponse:
        if webhook.path == "/slow":
            let_go.wait(SLOW_SECONDS)
        elif webhook.path == "/dead":
            let_go.wait()
        return WebhookResponse()

    with Receiver() as receiver:
        receiver.respond = answer
        secret = seal(new_secret())
        WebhookEndpoint.objects.bulk_create(
            WebhookEndpoint(
                merchant=merchant, environment="test", url=receiver.url(f"/{kind}"), sealed_secret=secret
            )
            for merchant, kind in zip(merchants, kinds, strict=True)
        )
        with _processes("relay", "deliver_webhooks"):
            _wait_for_the_first(merchants[-1], receiver)
            committed = _happen(merchants, kinds, events, rate)
            _wait_for(set(committed), receiver)
            let_go.set()
        return [
            webhook.at - committed[webhook.message_id]
            for webhook in receiver.received
            if webhook.message_id in committed
        ]


@contextmanager
def _processes(*commands: str) -> Iterator[None]:
    running = [subprocess.Popen([sys.executable, "manage.py", command]) for command in commands]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def _wait_for_the_first(merchant: Merchant, receiver: Receiver) -> None:
    """The processes are there, and so are their connections."""
    _wait_for({_event(merchant)}, receiver)


def _happen(merchants: list[Merchant], kinds: list[str], events: int, rate: int) -> dict[str, float]:
    """The ids of the healthy endpoints' events, and when each was committed."""
    committed = {}
    began = time.monotonic()
    for number in range(events):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        event_id = _event(merchants[number % ENDPOINTS])
        if kinds[number % ENDPOINTS] == "healthy":
            committed[event_id] = time.monotonic()
    return committed


def _event(merchant: Merchant) -> str:
    data = {"payment_no": "PAY-1", "amount": 10_000, "subject": "Benchmark" * 50}
    with transaction.atomic():
        row = build_event_row(Event("payment.created", "PAY-1", merchant.pk, "test", uuid.uuid4(), data))
        row.save()
    return str(row.event_id)


def _wait_for(ids: set[str], receiver: Receiver) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not ids <= {webhook.message_id for webhook in list(receiver.received)}:
        if time.monotonic() > give_up_at:
            sys.exit("Not every healthy endpoint got its webhook.")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
