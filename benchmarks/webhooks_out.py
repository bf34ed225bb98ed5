"""The delay of healthy endpoints while others are slow or dead, compared with only healthy ones in the same run.

200 merchants have an endpoint each on loopback, served by `manage.py relay` and `manage.py deliver_webhooks`. Of the
bad ones, 20 answer after five seconds and 20 never; the worker does not know them when it starts. The delay is from
the commit of an event to the moment at which its endpoint has read it.
"""

import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from benchmarks.figures import Benchmark, Effort, Figure, get_percentile, median_figure
from common.crypto import seal
from events.models import OutboxEvent
from events.outbox import Event, build_event_row
from merchants.models import Merchant
from merchants.services import create_merchant
from tests.support.receiver import ReceivedWebhook, Receiver, WebhookResponse
from webhooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from webhooks.signing import new_secret

BENCHMARK = Benchmark(
    "webhooks_out",
    "The delay from the commit of an event to its arrival at a healthy endpoint, at 40 events a second.",
    "The relay's and the webhook worker's polls; slow endpoints have places of their own.",
)

ENDPOINTS, SLOW, DEAD = 200, 20, 20
RATE = 40  # events a second, to one endpoint after the other
SLOW_SECONDS = 5.0
PATIENCE_SECONDS = 120.0


def measure(effort: Effort) -> list[Figure]:
    rate, seconds = RATE, effort.choose(30, 2)
    merchants = [
        create_merchant(name="Benchmark", email=f"bench-{uuid.uuid4().hex[:8]}@example.com").merchant
        for _number in range(ENDPOINTS)
    ]
    medians: dict[int, list[float]] = {0: [], SLOW: []}
    p99s: dict[int, list[float]] = {0: [], SLOW: []}
    for _round in range(effort.rounds):
        for slow, dead in ((0, 0), (SLOW, DEAD)):
            delays = _delays(merchants, seconds * rate, rate, slow=slow, dead=dead)
            medians[slow].append(statistics.median(delays) * 1000)
            p99s[slow].append(get_percentile(delays, 99) * 1000)
    base = median_figure(f"delivery, {ENDPOINTS} healthy endpoints, p50", medians[0], "ms")
    beside = f"delivery to the healthy beside {SLOW} slow and {DEAD} dead endpoints"
    return [
        base,
        median_figure(f"delivery, {ENDPOINTS} healthy endpoints, p99", p99s[0], "ms"),
        median_figure(f"{beside}, p50", medians[SLOW], "ms", base=base),
        median_figure(f"{beside}, p99", p99s[SLOW], "ms"),
    ]


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
