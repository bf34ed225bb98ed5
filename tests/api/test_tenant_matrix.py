"""Every address of the API is requested with the keys of others: the answer is 404 and nothing changes, or the answer
has no data of the owner. An address that is missing below fails this test: add its request.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.urls import URLPattern, get_resolver

from gateway.models import Payment
from merchants.services import NewMerchant
from tests.channel_accounts.accounts import CREDENTIALS, NEW_CREDENTIALS
from tests.contract.document import document
from tests.support.channel_accounts import add_account
from tests.support.fixtures import new_merchant
from tests.support.fixtures import test_client_of as client_of
from tests.support.rows import leave_one_of_each
from tests.support.shop import (
    Body,
    authorized,
    data,
    error,
    new_no,
    opened,
    order_request,
    paid,
    payment_request,
    refund,
)
from tests.support.signing import SignedClient, TestResponse
from tests.support.triggers import without_triggers
from tests.support.webhooks import ENDPOINTS, registered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

API = "/api/v1/"
HOOK = "http://127.0.0.1:8080/hook"
SPAN = {"created_from": "2025-01-01T00:00:00Z", "created_to": "2025-01-02T00:00:00Z"}
FILE = {"field": "receipt", "name": "a.png", "content": "iVBORw0KGgo="}

# Requests that name an object of the owner in the address or in the body. Another merchant gets 404.
OBJECTS: dict[str, Body] = {
    "GET payments/<str:payment_no>": {},
    "POST payments/<str:payment_no>/cancel": {},
    "POST payments/<str:payment_no>/capture": {},
    "POST payments/<str:payment_no>/increment-authorization": {"amount": 20_000},
    "POST payments/<str:payment_no>/sync": {},
    "POST refunds": {"payment_no": "<payment_no>", "amount": 1},
    "GET refunds/<str:refund_no>": {},
    "GET disputes/<str:dispute_no>": {},
    "GET disputes/<str:dispute_no>/evidence": {},
    "POST disputes/<str:dispute_no>/evidence": {"texts": {"customer_name": "Li"}},
    "POST disputes/<str:dispute_no>/evidence/files": FILE,
    "POST disputes/<str:dispute_no>/submit": {},
    "POST disputes/<str:dispute_no>/accept": {},
    "GET orders/<str:order_no>": {},
    "POST orders/<str:order_no>/cancel": {},
    "POST channel/payments/<str:channel_trade_no>/cancel": {},
    "POST merchant/api-keys/<uuid:key_id>/rotate": {},
    "POST merchant/api-keys/<uuid:key_id>/revoke": {},
    "GET channel-accounts/<uuid:account_id>": {},
    "PATCH channel-accounts/<uuid:account_id>": {"display_name": "Mine"},
    "POST channel-accounts/<uuid:account_id>/rotate": {"credentials": NEW_CREDENTIALS},
    "POST channel-accounts/<uuid:account_id>/check": {},
    "POST channel-accounts/<uuid:account_id>/disable": {},
    "POST channel-accounts/<uuid:account_id>/enable": {},
    "GET events/<uuid:event_id>": {},
    "GET webhook-endpoints/<uuid:endpoint_id>": {},
    "PATCH webhook-endpoints/<uuid:endpoint_id>": {"description": "Mine"},
    "POST webhook-endpoints/<uuid:endpoint_id>/rotate-secret": {},
    "POST webhook-endpoints/<uuid:endpoint_id>/test": {},
    "POST webhook-endpoints/<uuid:endpoint_id>/resend": SPAN,
    "GET webhook-deliveries/<uuid:delivery_id>": {},
    "POST webhook-deliveries/<uuid:delivery_id>/resend": {},
    "GET statements/<uuid:statement_id>/csv": {},
    "GET statements/<uuid:statement_id>/pdf": {},
    "GET payouts/<str:payout_no>": {},
    "DELETE webhook-endpoints/<uuid:endpoint_id>": {},
}
# Requests that only read and name no object: the answer has no data of the owner.
READS = {
    "GET payments", "GET refunds", "GET disputes", "GET orders", "GET merchant",
    "GET merchant/api-keys", "GET channel-accounts", "GET events", "GET webhook-endpoints", "GET webhook-deliveries",
    "GET balance", "GET balance-transactions", "GET statements", "GET payable-balance", "GET payouts",
    "GET payment-methods",
}  # fmt: skip
# Requests with which another merchant creates or changes its own objects, with the owner's numbers where possible.
WRITES: dict[str, Body] = {
    "POST payments": payment_request(order_no="<order_no>"),
    "POST orders": order_request(order_no="<second_order_no>"),
    "POST merchant/api-keys": {},
    "POST webhook-endpoints": {"url": HOOK},
    "POST webhook-endpoints/callback/rotate-secret": {},
}
# The other merchant has no payout plan, and a live key cannot use the simulator.
REFUSED_ANYWAY = {"no_payout_plan", "channel_not_available"}
CHOSEN_BY_THE_CALLER = {"order_no", "second_order_no"}
# Channels sign these requests; they need no API key.
SIGNED_BY_CHANNELS = {"POST webhooks/<str:channel>", "POST webhooks/<str:channel>/<str:token>"}
# The request names no object, and calls Stripe.
OTHERS = {"POST channel-accounts"}
# The owner's own request would call Stripe (tests/channel_accounts/test_api.py makes it).
CALLS_THE_CHANNEL = {
    "POST channel-accounts/<uuid:account_id>/rotate",
    "POST channel-accounts/<uuid:account_id>/check",
}


def requests_of_the_api() -> Iterator[str]:
    """Yields method and route of every address below /api/v1/ in the URL configuration."""

    def walk(patterns: list[Any], where: str) -> Iterator[tuple[str, URLPattern]]:
        for pattern in patterns:
            route = where + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield route, pattern
            else:
                yield from walk(pattern.url_patterns, route)

    for route, pattern in walk(get_resolver().url_patterns, "/"):
        if route.startswith(API):
            view: Any = pattern.callback
            for method in ("get", "post", "put", "patch", "delete"):
                if hasattr(view.cls, method):
                    yield f"{method.upper()} {route.removeprefix(API)}"


def test_every_request_of_the_api_has_an_entry_and_none_is_stale() -> None:
    entries = [*OBJECTS, *READS, *WRITES, *SIGNED_BY_CHANNELS, *OTHERS]
    assert sorted(entries) == sorted(requests_of_the_api())


@pytest.fixture
def owned(acme: NewMerchant, client: SignedClient, settings: Any, tmp_path: Any) -> dict[str, str]:
    """Acme's objects, one of each kind, by their names in addresses and queries."""
    settings.MEDIA_ROOT = tmp_path
    payment = paid(client)
    created_refund = data(refund(client, payment, 1))
    leave_one_of_each()
    held, order = authorized(client), opened(client)
    endpoint = registered(client, HOOK)
    delivery = data(client.post(f"{ENDPOINTS}/{endpoint['id']}/test", {}))
    account = add_account(acme, "stripe", credentials=CREDENTIALS)
    row = Payment.objects.get(payment_no=held["payment_no"])
    assert row.channel_trade_no
    return {
        "payment_no": held["payment_no"],
        "channel_trade_no": row.channel_trade_no,
        "order_no": order["order_no"],
        "second_order_no": held["order_no"],
        "refund_no": created_refund["refund_no"],
        "dispute_no": data(client.get(f"{API}disputes"))["items"][0]["dispute_no"],
        "payout_no": data(client.get(f"{API}payouts"))["items"][0]["payout_no"],
        "statement_id": data(client.get(f"{API}statements"))["items"][0]["id"],
        "key_id": str(acme.test_key.api_key.pk),
        "account_id": str(account.pk),
        "endpoint_id": endpoint["id"],
        "delivery_id": delivery["id"],
        "event_id": delivery["event_id"],
    }


def send(client: SignedClient, request: str, body: Body, owned: dict[str, str]) -> TestResponse:
    """Sends a request. A write has an Idempotency-Key, so that no nonce is stored."""
    method, route = request.split(" ")
    path = API + re.sub(r"<\w+:(\w+)>", lambda found: owned[found[1]], route)
    if method == "GET":
        return client.get(f"{path}?amount=1&currency=USD" if route == "payment-methods" else path)
    named = {name: owned.get(str(value).strip("<>"), value) for name, value in body.items()}
    return client.request(method, path, named, idempotency_key=new_no("key"))


def contents() -> dict[str, str]:
    """Returns a digest of the rows of each table, without nonces: a DELETE always needs a nonce and stores it."""
    tables = {model._meta.db_table for model in apps.get_models() if model._meta.managed} - {"request_nonces"}
    digests = {}
    with connection.cursor() as cursor:
        for table in sorted(tables):
            cursor.execute(f"SELECT md5(string_agg(row::text, ' ' ORDER BY row::text)) FROM \"{table}\" row")
            digests[table] = cursor.fetchone()[0]
    return digests


def require_nothing_for(stranger: SignedClient, owned: dict[str, str], subtests: pytest.Subtests) -> None:
    before = contents()
    for request, body in OBJECTS.items():
        with subtests.test(request):
            error(send(stranger, request, body, owned), 404, "not_found")
    for request in READS:
        with subtests.test(request):
            require_no_trace(send(stranger, request, {}, owned), owned)
    for path, name in list_filters():
        if name in owned:
            with subtests.test(path, name=name):
                assert data(stranger.get(f"{path}?{name}={owned[name]}"))["items"] == []
    assert contents() == before
    for request, body in WRITES.items():
        with subtests.test(request):
            require_no_trace(send(stranger, request, body, owned), owned)
    after = contents()
    untouched = ("disputes", "payouts", "merchant_statements", "refunds", "webhook_deliveries")
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}


def require_no_trace(answer: TestResponse, owned: dict[str, str]) -> None:
    body = json.loads(answer.content)
    assert answer.status_code == 200 or body["error_code"] in REFUSED_ANYWAY, body
    shown = {name for name, value in owned.items() if value in answer.content.decode()}
    assert shown <= CHOSEN_BY_THE_CALLER, body


def list_filters() -> list[tuple[str, str]]:
    """Returns every documented query parameter of every list."""
    return [
        (path, parameter["name"])
        for path, methods in document()["paths"].items()
        for parameter in methods.get("get", {}).get("parameters", [])
        if parameter["in"] == "query"
    ]


def test_another_merchant_and_the_live_key_get_nothing(
    owned: dict[str, str], live_client: SignedClient, subtests: pytest.Subtests
) -> None:
    for stranger in (live_client, client_of(new_merchant(name="Other"))):
        require_nothing_for(stranger, owned, subtests)


def test_the_test_key_gets_nothing_of_live(
    owned: dict[str, str], acme: NewMerchant, live_client: SignedClient, client: SignedClient,
    subtests: pytest.Subtests,
) -> None:  # fmt: skip
    make_everything_live()
    owned["key_id"] = str(acme.live_key.api_key.pk)
    require_nothing_for(client, owned, subtests)
    for request in OBJECTS:
        if request.startswith("GET"):
            assert send(live_client, request, {}, owned).status_code == 200, request


def make_everything_live() -> None:
    with without_triggers() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_name = 'environment' AND table_name <> 'api_keys'"
            " AND table_name IN (SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"UPDATE \"{table}\" SET environment = 'live' WHERE environment = 'test'")


def test_the_owner_finds_each_of_these_objects(
    owned: dict[str, str], client: SignedClient, subtests: pytest.Subtests
) -> None:
    """Shows that the requests above get 404 only because of their key."""
    revoking = "POST merchant/api-keys/<uuid:key_id>/revoke"
    for request, body in OBJECTS.items():
        if request not in CALLS_THE_CHANNEL | {revoking}:
            with subtests.test(request):
                answer = send(client, request, body, owned)
                assert answer.status_code in (200, 202, 400, 409, 422), answer.content
                assert answer.status_code != 400 or request.startswith("POST disputes"), answer.content
    assert data(send(client, revoking, {}, owned))["status"] == "revoked"
