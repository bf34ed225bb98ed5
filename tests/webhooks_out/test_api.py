"""Endpoints, deliveries and events over HTTP."""

import datetime as dt
import json
import threading
import uuid
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection, transaction

from common.crypto import unseal
from events import catalogue
from events.models import OutboxEvent
from events.outbox import Event, append_event
from merchants.services import NewMerchant
from tests.support.receiver import Receiver, WebhookResponse
from tests.support.shop import Body, data, error, new_no, opened, paid
from tests.support.signing import SignedClient
from tests.support.tables import row_counts
from tests.support.threads import in_background
from tests.support.webhooks import (
    DELIVERIES,
    ENDPOINTS,
    EVENTS,
    deliver_due,
    make_attempts_due,
    registered,
)
from webhooks import endpoints, resending
from webhooks.models import WebhookDelivery, WebhookEndpoint
from webhooks.tasks import cancel_deliveries_of_deleted_endpoints

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

URL = "http://127.0.0.1:8080/hook"


def test_a_secret_is_shown_once_and_stored_sealed(client: SignedClient) -> None:
    key = new_no("key")
    first = client.post(ENDPOINTS, {"url": URL}, idempotency_key=key)
    assert first["Cache-Control"] == "no-store"
    secret = data(first)["secret"]
    assert secret.startswith("whsec_")
    again = client.post(ENDPOINTS, {"url": URL}, idempotency_key=key)
    assert again["Idempotent-Replayed"] == "true"
    assert data(again) == {**data(first), "secret": None, "note": data(again)["note"]}
    row = WebhookEndpoint.objects.get()
    assert unseal(row.sealed_secret) == secret
    with connection.cursor() as cursor:
        for table in ("webhook_endpoints", "idempotency_keys"):
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t")
            assert secret not in cursor.fetchone()[0]
    shown = data(client.get(f"{ENDPOINTS}/{row.id}"))
    assert "secret" not in shown
    assert {name: data(first)[name] for name in shown} == shown
    assert data(client.get(ENDPOINTS))["items"] == [shown]


WRONG: list[tuple[Body, str]] = [
    ({}, "url"),
    ({"url": 5}, "url"),
    ({"url": ""}, "url"),
    ({"url": "http://169.254.169.254/"}, "url"),
    ({"url": "http://nobody.invalid/"}, "url"),
    ({"url": URL, "event_types": ["payment.exploded"]}, "event_types.0"),
    ({"url": URL, "event_types": "payment.created"}, "event_types"),
    ({"url": URL, "event_types": ["webhook.test"]}, "event_types.0"),
    ({"url": URL, "description": "x" * 256}, "description"),
    ({"url": URL, "description": "a\0b"}, "body"),
    ({"url": URL, "secret": "whsec_mine"}, "secret"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_an_invalid_field_is_named(client: SignedClient, body: Body, field: str) -> None:
    before = row_counts()
    answer = client.post(ENDPOINTS, body, idempotency_key=new_no("key"))
    assert answer.status_code == 400
    body_of_error = json.loads(answer.content)
    assert field in body_of_error["details"] or body_of_error["error_code"] == "malformed_body", body_of_error
    assert row_counts() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [({}, "body"), ({"status": "deleted"}, "status"), ({"url": "x"}, "url"), ({"kind": "callback"}, "kind")],
)
def test_an_invalid_change_is_named(client: SignedClient, change: Body, field: str) -> None:
    endpoint = registered(client, URL)
    answer = client.patch(f"{ENDPOINTS}/{endpoint['id']}", change, idempotency_key=new_no("key"))
    assert field in error(answer, 400, "validation_failed")


def test_an_endpoint_from_registration_to_deletion(client: SignedClient, receiver: Receiver) -> None:
    endpoint = registered(client, receiver.url(), event_types=["payment.succeeded"], description="Main")
    one = f"{ENDPOINTS}/{endpoint['id']}"
    paid(client)
    deliver_due()
    assert [json.loads(webhook.body)["type"] for webhook in receiver.received] == ["payment.succeeded"]
    changed = data(
        client.patch(one, {"event_types": [], "status": "disabled"}, idempotency_key=new_no("key"))
    )
    assert (changed["status"], changed["disabled_reason"], changed["description"]) == (
        "disabled",
        "merchant",
        "Main",
    )
    error(client.post(f"{one}/test", {}), 409, "webhook_endpoint_not_usable")
    opened(client)
    deliver_due()
    assert len(receiver.received) == 1
    assert data(client.patch(one, {"status": "enabled"}))["disabled_reason"] is None
    sent = data(client.post(f"{one}/test", {}))
    assert (sent["event_type"], sent["status"]) == ("webhook.test", "pending")
    deliver_due()
    assert json.loads(receiver.received[-1].body)["data"]["endpoint_id"] == endpoint["id"]
    opened(client)
    deliver_due(())
    assert data(client.delete(one)) == {"id": endpoint["id"], "deleted": True}
    assert data(client.get(DELIVERIES))["items"][0]["status"] == "cancelled"
    for method in ("GET", "DELETE"):
        error(client.request(method, one), 404, "not_found")
    assert data(client.get(ENDPOINTS))["items"] == []
    deliver_due()
    assert len(receiver.received) == 2


def test_a_long_backlog_is_cancelled_in_batches(
    client: SignedClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "CANCEL_BATCH", 2)
    gone, other = registered(client, receiver.url("/gone")), registered(client, receiver.url("/other"))
    for _ in range(5):
        opened(client)
    deliver_due(())
    data(client.delete(f"{ENDPOINTS}/{gone['id']}"))
    deliver_due()
    assert {webhook.path for webhook in receiver.received} == {"/other"}, (
        "pending deliveries of a deleted endpoint are not sent"
    )
    assert [cancel_deliveries_of_deleted_endpoints(), cancel_deliveries_of_deleted_endpoints()] == [3, 0]
    statuses = set(WebhookDelivery.objects.values_list("endpoint_id", "status"))
    assert {(str(endpoint_id), status) for endpoint_id, status in statuses} == {
        (gone["id"], "cancelled"),
        (other["id"], "delivered"),
    }


def test_too_many_endpoints_are_refused(client: SignedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MAX_ENDPOINTS", 1)
    registered(client, URL)
    error(client.post(ENDPOINTS, {"url": URL}), 409, "too_many_webhook_endpoints")


def test_the_callback_endpoint_is_shown_and_cannot_be_redirected(client: SignedClient) -> None:
    endpoint = data(client.post(f"{ENDPOINTS}/callback/rotate-secret", {}))
    assert (endpoint["kind"], endpoint["url"]) == ("callback", None)
    one = f"{ENDPOINTS}/{endpoint['id']}"
    assert "url" in error(client.patch(one, {"url": URL}), 400, "validation_failed")
    error(client.delete(one), 409, "webhook_endpoint_not_usable")
    error(client.post(f"{one}/test", {}), 409, "webhook_endpoint_not_usable")
    again = data(client.post(f"{ENDPOINTS}/callback/rotate-secret", {}))
    assert (again["id"], again["secret"] != endpoint["secret"]) == (endpoint["id"], True)


def _register_with_failed_deliveries(client: SignedClient, receiver: Receiver, count: int) -> Body:
    endpoint = registered(client, receiver.url())
    receiver.respond = lambda _webhook: WebhookResponse(500)
    for _ in range(count):
        opened(client)
    deliver_due()
    WebhookDelivery.objects.update(attempt_count=9)
    make_attempts_due()
    deliver_due()
    assert {row["status"] for row in data(client.get(f"{DELIVERIES}?status=failed"))["items"]} == {"failed"}
    receiver.respond = lambda _webhook: WebhookResponse(200)
    receiver.received.clear()
    return endpoint


def test_a_delivery_is_resent_under_its_id(client: SignedClient, receiver: Receiver) -> None:
    _register_with_failed_deliveries(client, receiver, 2)
    first, second = data(client.get(DELIVERIES))["items"]
    key = new_no("key")
    sent = data(client.post(f"{DELIVERIES}/{first['id']}/resend", {}, idempotency_key=key))
    assert (sent["status"], sent["attempt_count"]) == ("pending", 0)
    deliver_due()
    assert [webhook.message_id for webhook in receiver.received] == [first["event_id"]]
    client.post(f"{DELIVERIES}/{first['id']}/resend", {}, idempotency_key=key)
    deliver_due()
    assert len(receiver.received) == 1, "the key was used"
    assert len(data(client.get(f"{DELIVERIES}/{first['id']}"))["attempts"]) == 3, "history is kept"
    assert data(client.get(f"{DELIVERIES}/{second['id']}"))["status"] == "failed"


def test_a_resend_keeps_the_time_of_the_first_delivery(client: SignedClient, receiver: Receiver) -> None:
    registered(client, receiver.url("/hook"))
    opened(client)
    deliver_due()
    (first,) = data(client.get(DELIVERIES))["items"]
    assert first["delivered_at"]
    again = data(client.post(f"{DELIVERIES}/{first['id']}/resend", {}))
    assert (again["status"], again["delivered_at"]) == ("pending", first["delivered_at"])
    deliver_due()
    (last,) = data(client.get(DELIVERIES))["items"]
    assert (last["status"], last["delivered_at"]) == ("delivered", first["delivered_at"])


def test_failed_deliveries_and_periods_are_resent(
    client: SignedClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = _register_with_failed_deliveries(client, receiver, 3)
    resend = f"{ENDPOINTS}/{endpoint['id']}/resend"
    monkeypatch.setattr(resending, "MAX_RESENT", 2)
    assert data(client.post(resend, {})) == {"resent": 2, "more": True}
    assert data(client.post(resend, {})) == {"resent": 1, "more": False}
    deliver_due()
    assert len(receiver.received) == 3
    late = registered(client, receiver.url("/late"))
    times = [event["time"] for event in data(client.get(EVENTS))["items"]]
    span = {"created_from": times[-1], "created_to": "2100-01-01T00:00:00Z"}
    again = f"{ENDPOINTS}/{late['id']}/resend"
    error(client.post(again, span), 422, "resend_range_too_long")
    monkeypatch.setattr(resending, "MAX_RESENT", 1000)
    until = {"created_from": times[-1], "created_to": times[1]}
    assert data(client.post(again, until)) == {"resent": 1, "more": False}
    monkeypatch.setattr(resending, "MAX_RESENT", 2)
    error(client.post(again, span), 422, "resend_range_too_long")  # one of the three is pending, and counts
    monkeypatch.setattr(resending, "MAX_RESENT", 1000)
    assert data(client.post(again, span)) == {"resent": 2, "more": False}
    deliver_due()
    assert sorted(webhook.message_id for webhook in receiver.received if webhook.path == "/late") == sorted(
        event["id"] for event in data(client.get(EVENTS))["items"]
    )
    assert "created_to" in error(client.post(again, {"created_from": times[-1]}), 400, "validation_failed")
    backwards = {"created_from": "2030-01-02T00:00:00Z", "created_to": "2030-01-01T00:00:00Z"}
    assert "created_to" in error(client.post(again, backwards), 400, "validation_failed")


def test_events_can_be_listed(client: SignedClient) -> None:
    payment = paid(client)
    opened(client)
    page = data(client.get(f"{EVENTS}?limit=2"))
    rest = data(client.get(f"{EVENTS}?limit=2&cursor={page['next_cursor']}"))
    listed = page["items"] + rest["items"]
    assert [event["type"] for event in listed] == ["payment.created", "payment.succeeded", "payment.created"]
    assert data(client.get(f"{EVENTS}/{listed[1]['id']}")) == listed[1]
    of_one = data(client.get(f"{EVENTS}?subject={payment['payment_no']}&type=payment.succeeded"))["items"]
    assert of_one == [listed[1]]
    assert "type" in error(client.get(f"{EVENTS}?type=x"), 400, "validation_failed")
    assert {event["type"] for event in listed} <= set(catalogue.ALL_TYPES)


def test_polling_as_documented_misses_no_event_that_commits_late(
    client: SignedClient, acme: NewMerchant
) -> None:
    """The first event commits after the others have been read, page by page."""
    known: list[Body] = []
    written, release = threading.Event(), threading.Event()

    def append_late() -> None:
        with transaction.atomic():
            append_payment_event(acme, "PAY-late")
            written.set()
            assert release.wait(60)

    def poll() -> set[str]:
        since = ""
        if known:
            newest = max(dt.datetime.fromisoformat(event["time"]) for event in known)
            since = f"&created_from={quote((newest - dt.timedelta(minutes=1)).isoformat())}"
        page, seen = data(client.get(f"{EVENTS}?limit=2{since}")), {event["id"] for event in known}
        items = page["items"]
        while page["next_cursor"]:
            page = data(client.get(f"{EVENTS}?limit=2{since}&cursor={page['next_cursor']}"))
            items += page["items"]
        new = [event for event in items if event["id"] not in seen]
        known.extend(new)
        return {event["subject"] for event in new}

    late = in_background(append_late)
    try:
        assert written.wait(60)
        for number in range(5):
            with transaction.atomic():
                append_payment_event(acme, f"PAY-{number}")
        assert poll() == {f"PAY-{number}" for number in range(5)}
    finally:
        release.set()
        late.result()
    assert poll() == {"PAY-late"}
    assert poll() == set()


def append_payment_event(acme: NewMerchant, payment_no: str) -> None:
    about = {"merchant_id": acme.merchant.pk, "environment": "test", "subject_id": uuid.uuid4(), "data": {}}
    append_event(Event(type="payment.created", ordering_key=payment_no, **about))


def create_one_of_each(client: SignedClient, receiver: Receiver) -> dict[str, str]:
    endpoint = registered(client, receiver.url())
    opened(client)
    deliver_due(())
    return {
        "endpoint": endpoint["id"],
        "delivery": str(WebhookDelivery.objects.get(endpoint_id=endpoint["id"]).id),
        "event": str(OutboxEvent.objects.latest("id").event_id),
    }


@pytest.mark.parametrize("who", ["another merchant", "the other environment"])
def test_objects_of_other_tenants_are_not_found(
    who: str,
    client: SignedClient,
    other_client: SignedClient,
    live_client: SignedClient,
    receiver: Receiver,
) -> None:
    ids = create_one_of_each(client, receiver)
    stranger = other_client if who == "another merchant" else live_client
    before = row_counts()
    span = {"created_from": "2020-01-01T00:00:00Z", "created_to": "2100-01-01T00:00:00Z"}
    calls: list[tuple[str, str, Any]] = [
        ("GET", f"{EVENTS}/{ids['event']}", None),
        ("GET", f"{ENDPOINTS}/{ids['endpoint']}", None),
        ("PATCH", f"{ENDPOINTS}/{ids['endpoint']}", {"description": "mine"}),
        ("POST", f"{ENDPOINTS}/{ids['endpoint']}/rotate-secret", {}),
        ("POST", f"{ENDPOINTS}/{ids['endpoint']}/test", {}),
        ("POST", f"{ENDPOINTS}/{ids['endpoint']}/resend", {}),
        ("POST", f"{ENDPOINTS}/{ids['endpoint']}/resend", span),
        ("GET", f"{DELIVERIES}/{ids['delivery']}", None),
        ("POST", f"{DELIVERIES}/{ids['delivery']}/resend", {}),
    ]
    for method, path, body in calls:
        sent = {} if body is None else {"json": body}
        key = None if method == "GET" else new_no("key")
        error(stranger.request(method, path, *sent.values(), idempotency_key=key), 404, "not_found")
    lists = (EVENTS, ENDPOINTS, DELIVERIES)
    filtered = (f"{DELIVERIES}?endpoint_id={ids['endpoint']}", f"{DELIVERIES}?event_id={ids['event']}")
    for path in (*lists, *filtered):
        assert data(stranger.get(path)) == {"items": [], "next_cursor": None}
    changed = {name for name, count in row_counts().items() if count != before[name]}
    assert changed <= {"idempotency_keys"}
    error(stranger.delete(f"{ENDPOINTS}/{ids['endpoint']}"), 404, "not_found")
    assert data(client.get(f"{ENDPOINTS}/{ids['endpoint']}"))["status"] == "enabled"


def test_events_go_only_to_endpoints_of_their_tenant(
    client: SignedClient, other_client: SignedClient, live_client: SignedClient, receiver: Receiver
) -> None:
    for each, path in ((client, "/mine"), (other_client, "/other"), (live_client, "/live")):
        registered(each, receiver.url(path))
    opened(client)
    deliver_due()
    assert [webhook.path for webhook in receiver.received] == ["/mine"]


def test_scopes(client: SignedClient, receiver: Receiver) -> None:
    """The scope `events:read` allows neither to read deliveries nor to change endpoints."""
    ids = create_one_of_each(client, receiver)
    one, delivery = f"{ENDPOINTS}/{ids['endpoint']}", f"{DELIVERIES}/{ids['delivery']}"
    reads = {
        EVENTS: "events:read",
        f"{EVENTS}/{ids['event']}": "events:read",
        **dict.fromkeys((ENDPOINTS, one, DELIVERIES, delivery), "webhooks:manage"),
    }
    writes = [
        ("POST", ENDPOINTS),
        ("PATCH", one),
        ("DELETE", one),
        ("POST", f"{ENDPOINTS}/callback/rotate-secret"),
    ]
    writes += [("POST", f"{one}/{act}") for act in ("rotate-secret", "test", "resend")]
    writes += [("POST", f"{delivery}/resend")]
    for scope in ("payments:read", "events:read", "webhooks:manage"):
        issued = data(client.post("/api/v1/merchant/api-keys", {"scopes": [scope]}))
        limited = SignedClient(issued["key"], issued["secret"])
        for path, needed in reads.items():
            if needed == scope:
                data(limited.get(path))
            else:
                error(limited.get(path), 403, "insufficient_scope")
        if scope != "webhooks:manage":
            for method, path in writes:
                answer = limited.request(method, path, {}, idempotency_key=new_no("key"))
                error(answer, 403, "insufficient_scope")
    assert data(client.get(one))["status"] == "enabled"
