"""Delivery attempts: what is sent, when it is retried, and what is stored."""

import datetime as dt
import json
import time

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.receiver import Receiver, WebhookResponse, raw_server
from tests.support.shop import data, new_no, opened, paid, refund
from tests.support.signing import SignedClient
from tests.support.webhooks import (
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    deliver_due,
    endpoint_row,
    make_attempts_due,
    registered,
)
from webhooks import claims, delivery, http_client, retry_schedule
from webhooks.models import (
    AttemptOutcome,
    DeliveryStatus,
    DisabledReason,
    EndpointStatus,
    Lane,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def claim_one() -> claims.ClaimedDelivery:
    deliver_due(())
    (claim,) = claims.claim_deliveries(lane=Lane.FAST, places=1)
    return claim


def test_a_webhook_has_the_body_that_the_api_shows(client: SignedClient, receiver: Receiver) -> None:
    endpoint = registered(client, receiver.url("/hook?shop=7"))
    payment = opened(client, subject="测试支付")
    (reply,) = deliver_due()
    assert reply.outcome == AttemptOutcome.SUCCESS
    (webhook,) = receiver.received
    assert webhook.path == "/hook?shop=7"
    assert webhook.headers["content-type"] == "application/json"
    event = Webhook(endpoint["secret"]).verify(webhook.body, webhook.headers)
    assert event == data(client.get(f"{EVENTS}/{webhook.message_id}"))
    assert (event["specversion"], event["type"], event["subject"]) == (
        "1.0",
        "payment.created",
        payment["payment_no"],
    )
    assert event["data"]["subject"] == "测试支付"
    assert event["data"]["payment_no"] == payment["payment_no"]


def test_another_secret_or_another_body_does_not_verify(client: SignedClient, receiver: Receiver) -> None:
    endpoint, other = registered(client, receiver.url("/a")), registered(client, receiver.url("/b"))
    opened(client)
    deliver_due()
    webhook = next(webhook for webhook in receiver.received if webhook.path == "/a")
    Webhook(endpoint["secret"]).verify(webhook.body, webhook.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(other["secret"]).verify(webhook.body, webhook.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(webhook.body.replace(b"pending", b"settled"), webhook.headers)


def test_both_secrets_sign_during_the_overlap(client: SignedClient, receiver: Receiver) -> None:
    endpoint = registered(client, receiver.url())
    rotated = data(client.post(f"{ENDPOINTS}/{endpoint['id']}/rotate-secret", {}))
    assert rotated["secret"] != endpoint["secret"]
    opened(client)
    deliver_due()
    for secret in (endpoint["secret"], rotated["secret"]):
        Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    WebhookEndpoint.objects.update(previous_secret_until=Now() - dt.timedelta(seconds=1))
    opened(client)
    deliver_due()
    Webhook(rotated["secret"]).verify(receiver.received[1].body, receiver.received[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(receiver.received[1].body, receiver.received[1].headers)


def test_a_signature_is_valid_although_the_host_has_a_wrong_clock(
    client: SignedClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = registered(client, receiver.url())
    opened(client)
    right = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: right() + 3600)
        deliver_due()
    Webhook(endpoint["secret"]).verify(receiver.received[0].body, receiver.received[0].headers)


def test_a_callback_url_gets_only_the_events_of_its_payment(client: SignedClient, receiver: Receiver) -> None:
    secret = data(client.post(f"{ENDPOINTS}/callback/rotate-secret", {}))["secret"]
    opened(client)
    payment = paid(client, callback_url=receiver.url("/callback?order=1"))
    data(refund(client, payment, 100))
    deliver_due()
    assert {webhook.path for webhook in receiver.received} == {"/callback?order=1"}
    events = [Webhook(secret).verify(webhook.body, webhook.headers) for webhook in receiver.received]
    assert sorted(event["type"] for event in events) == [
        "payment.created",
        "payment.succeeded",
        "refund.succeeded",
    ]
    assert {event["subject"] for event in events} == {payment["payment_no"]}


def test_a_failing_delivery_follows_the_retry_schedule(client: SignedClient, receiver: Receiver) -> None:
    """Ten attempts under one id. Each wait differs from the schedule by at most a fifth."""
    receiver.respond = lambda _webhook: WebhookResponse(500)
    registered(client, receiver.url())
    opened(client)
    waits = []
    for _attempt in range(20):
        deliver_due()
        row = WebhookDelivery.objects.annotate(wait=F("due_at") - Now()).get()
        if row.status != DeliveryStatus.PENDING:
            break
        waits.append(row.wait.total_seconds())
        make_attempts_due()
    assert row.status == DeliveryStatus.FAILED
    assert len(receiver.received) == 10
    assert len({webhook.message_id for webhook in receiver.received}) == 1
    expected = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    for wait, middle in zip(waits, expected, strict=True):
        assert middle * 0.8 - 30 <= wait <= middle * 1.2, (wait, middle)
    assert len({retry_schedule.retry_delay_seconds(1) for _ in range(20)}) > 1, "the delay has jitter"


def test_every_attempt_is_stored_without_secrets(client: SignedClient, receiver: Receiver) -> None:
    answers = iter(
        [
            WebhookResponse(503, b"x" * 5000, {"Set-Cookie": "session=abc", "X-Shop": "1"}),
            WebhookResponse(204, b"", {"X-Nul": "a"}),
        ]
    )
    receiver.respond = lambda _webhook: next(answers)
    registered(client, receiver.url())
    opened(client)
    deliver_due()
    make_attempts_due()
    deliver_due()
    (listed,) = data(client.get(DELIVERIES))["items"]
    assert (listed["status"], listed["attempt_count"], listed["last_status_code"]) == ("delivered", 2, 204)
    shown = data(client.get(f"{DELIVERIES}/{listed['id']}"))
    first, second = shown["attempts"]
    assert (first["outcome"], first["status_code"], first["response_body"]) == ("rejected", 503, "x" * 1024)
    assert (first["response_headers"]["X-Shop"], first["response_headers"]["Set-Cookie"]) == (
        "1",
        "[redacted]",
    )
    assert second["outcome"] == "success"
    assert all(attempt["duration_ms"] >= 0 for attempt in shown["attempts"])
    assert {key: shown[key] for key in listed} == listed


def test_a_410_disables_the_endpoint_and_notifies_the_others(
    client: SignedClient, receiver: Receiver
) -> None:
    gone = registered(client, receiver.url("/gone"), event_types=["payment.created"])
    registered(client, receiver.url("/well"), event_types=["webhook_endpoint.disabled"])
    receiver.respond = lambda webhook: WebhookResponse(410 if webhook.path == "/gone" else 200)
    opened(client)
    deliver_due()
    row = endpoint_row(gone)
    assert (row.status, row.disabled_reason) == (EndpointStatus.DISABLED, DisabledReason.GONE)
    deliver_due()
    notice = json.loads(receiver.received[-1].body)
    assert (notice["type"], notice["data"]["endpoint_id"]) == ("webhook_endpoint.disabled", gone["id"])
    opened(client)
    deliver_due()
    assert [webhook.path for webhook in receiver.received] == ["/gone", "/well"], (
        "a disabled endpoint gets no further call"
    )
    assert WebhookDelivery.objects.get(endpoint=row).status == DeliveryStatus.FAILED


def test_an_endpoint_is_disabled_after_five_days_without_success(
    client: SignedClient, receiver: Receiver
) -> None:
    endpoint = registered(client, receiver.url())
    receiver.respond = lambda _webhook: WebhookResponse(500)
    opened(client)
    deliver_due()
    assert endpoint_row(endpoint).failing_since is not None
    WebhookEndpoint.objects.update(failing_since=Now() - dt.timedelta(days=4, hours=23))
    make_attempts_due()
    deliver_due()
    assert endpoint_row(endpoint).status == EndpointStatus.ENABLED
    receiver.respond = lambda _webhook: WebhookResponse(200)
    make_attempts_due()
    deliver_due()
    assert (endpoint_row(endpoint).failing_since, endpoint_row(endpoint).lane) == (None, Lane.FAST)
    receiver.respond = lambda _webhook: WebhookResponse(500)
    opened(client)
    deliver_due()
    WebhookEndpoint.objects.update(failing_since=Now() - dt.timedelta(days=5, minutes=1))
    make_attempts_due()
    deliver_due()
    row = endpoint_row(endpoint)
    assert (row.status, row.disabled_reason) == (EndpointStatus.DISABLED, DisabledReason.FAILING)
    # Pending deliveries continue when the merchant enables the endpoint again.
    receiver.respond = lambda _webhook: WebhookResponse(200)
    make_attempts_due()
    assert deliver_due() == []
    data(client.patch(f"{ENDPOINTS}/{endpoint['id']}", {"status": "enabled"}, idempotency_key=new_no("key")))
    assert [reply.outcome for reply in deliver_due()] == [AttemptOutcome.SUCCESS]


def test_a_410_of_a_callback_url_ends_only_that_delivery(client: SignedClient, receiver: Receiver) -> None:
    receiver.respond = lambda webhook: WebhookResponse(410 if webhook.path == "/gone" else 200)
    opened(client, callback_url=receiver.url("/gone"))
    opened(client, callback_url=receiver.url("/well"))
    deliver_due()
    statuses = dict(WebhookDelivery.objects.values_list("callback_url", "status"))
    assert statuses == {receiver.url("/gone"): "failed", receiver.url("/well"): "delivered"}
    assert WebhookEndpoint.objects.get().status == EndpointStatus.ENABLED


def test_redirects_are_not_followed(client: SignedClient, receiver: Receiver) -> None:
    receiver.respond = lambda _webhook: WebhookResponse(302, b"", {"Location": receiver.url("/elsewhere")})
    registered(client, receiver.url("/hook"))
    opened(client)
    (reply,) = deliver_due()
    assert (reply.outcome, reply.status_code) == (AttemptOutcome.REJECTED, 302)
    assert [webhook.path for webhook in receiver.received] == ["/hook"]


@pytest.mark.parametrize("answer", [b"\x01" * 600, b"\x00" * 600, b"\xff" * 600, b"a\tb" * 300])
def test_an_answer_that_is_not_http_ends_the_attempt(client: SignedClient, answer: bytes) -> None:
    """The stored error repeats the answer with its control characters escaped, which makes it longer."""
    with raw_server(lambda connection: connection.sendall(answer + b"\n")) as url:
        registered(client, url)
        opened(client)
        (reply,) = deliver_due()
    assert reply.outcome == AttemptOutcome.UNREACHABLE
    (listed,) = data(client.get(DELIVERIES))["items"]
    shown = data(client.get(f"{DELIVERIES}/{listed['id']}"))
    assert (shown["status"], shown["last_outcome"], shown["attempt_count"]) == ("pending", "unreachable", 1)
    (attempt,) = shown["attempts"]
    assert attempt["outcome"] == "unreachable"
    assert attempt["error"].startswith("BadStatusLine: ")


def test_during_the_call_no_transaction_is_open_and_the_intent_is_stored(
    client: SignedClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(client, receiver.url())
    opened(client)
    seen = []
    really = http_client.post_webhook

    def post(*args, **kwargs):
        assert not connection.in_atomic_block
        seen.append(WebhookAttempt.objects.get().outcome)
        return really(*args, **kwargs)

    monkeypatch.setattr(http_client, "post_webhook", post)
    deliver_due()
    assert seen == ["in_flight"]


def test_a_stale_worker_writes_nothing(client: SignedClient, receiver: Receiver) -> None:
    registered(client, receiver.url())
    opened(client)
    late = claim_one()
    assert claims.claim_deliveries(lane=Lane.FAST, places=10) == [], "a worker holds the lease"
    WebhookDelivery.objects.update(due_at=Now(), lease_expires_at=Now())
    (newer,) = claims.claim_deliveries(lane=Lane.FAST, places=10)
    assert (newer.delivery_id, newer.fence) == (late.delivery_id, late.fence + 1)
    reply = delivery.attempt_delivery(late)
    assert reply.outcome == AttemptOutcome.SUCCESS, "the endpoint was called"
    assert WebhookDelivery.objects.get().status == DeliveryStatus.PENDING, "nothing was recorded"
    outcomes = dict(WebhookAttempt.objects.values_list("fence", "outcome"))
    assert outcomes == {late.fence: "abandoned", newer.fence: "in_flight"}
    delivery.attempt_delivery(newer)
    assert WebhookDelivery.objects.get().status == DeliveryStatus.DELIVERED
    assert len({webhook.message_id for webhook in receiver.received}) == 1
