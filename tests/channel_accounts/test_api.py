"""Merchants add, rotate, check, disable and enable their channel accounts over the API."""

import json
import uuid
from typing import Any

import pytest
from django.db import connection

from audit.models import StaffAction
from channel_accounts import services
from channel_accounts.models import StoredChannelAccount
from merchants.models import ApiKey
from tests.channel_accounts.accounts import (
    ACCOUNTS,
    CREDENTIALS,
    KEY,
    NEW_CREDENTIALS,
    SECRETS,
    account_request,
    added,
)
from tests.support.shop import data, error, new_no
from tests.support.signing import SignedClient
from tests.support.stripe.fake import FakeStripe, Fault
from tests.support.tables import row_counts

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

BALANCE = "GET /v1/balance"


def test_credentials_are_stored_and_never_returned(
    client: SignedClient, stripe: FakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    key = new_no("key")
    first = client.post(ACCOUNTS, account_request(), idempotency_key=key)
    account = data(first)
    assert (account["channel"], account["status"], account["last_check_result"]) == (
        "stripe",
        "active",
        "accepted",
    )
    assert stripe.requests_seen == [BALANCE]
    again = client.post(ACCOUNTS, account_request(), idempotency_key=key)
    assert again["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert stripe.requests_seen == [BALANCE]
    answers = [first, client.get(ACCOUNTS), client.get(f"{ACCOUNTS}/{account['id']}")]
    change = {"credentials": NEW_CREDENTIALS}
    answers.append(client.post(f"{ACCOUNTS}/{account['id']}/rotate", change, idempotency_key=new_no("key")))
    assert data(answers[1])["items"] == [account] == [data(answers[2])]
    shown = "".join(answer.content.decode() for answer in answers) + caplog.text + dump_of_tables()
    assert "channel_account.changed" in shown
    assert not [secret for secret in SECRETS if secret in shown]
    assert StoredChannelAccount.objects.count() == 1


def dump_of_tables() -> str:
    dump = ""
    with connection.cursor() as cursor:
        for table in ("channel_accounts", "idempotency_keys", "outbox_events", "staff_actions"):
            cursor.execute(f"SELECT coalesce(string_agg(row::text, chr(10)), $$$$) FROM {table} AS row")
            dump += cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(encode(response_body, 'escape'), ' ') FROM idempotency_keys")
        dump += cursor.fetchone()[0]
    return dump


def test_changes_are_in_the_audit_log(client: SignedClient, stripe: FakeStripe) -> None:
    account = added(client)
    path = f"{ACCOUNTS}/{account['id']}"
    data(client.patch(path, {"payment_methods": ["card"]}))
    change = {"credentials": NEW_CREDENTIALS}
    data(client.post(f"{path}/rotate", change, idempotency_key=new_no("key")))
    data(client.post(f"{path}/check", {}, idempotency_key=new_no("key")))
    for verb in ("disable", "disable", "enable"):
        data(client.post(f"{path}/{verb}", {}, idempotency_key=new_no("key")))
    entries = list(StaffAction.objects.filter(object_id=account["id"]).order_by("id"))
    assert [entry.action.partition(".")[2] for entry in entries] == [
        "create",
        "update",
        "rotate",
        "check",
        "disable",
        "enable",
    ]
    key = ApiKey.objects.get(id=entries[0].actor.partition(":")[2])
    assert {entry.actor for entry in entries} == {f"api_key:{key.id}"}
    assert (entries[1].before["payment_methods"], entries[1].after["payment_methods"]) == ([], ["card"])
    assert entries[2].after["previous_credentials_until"]
    assert (entries[4].before, entries[4].after) == ({"status": "active"}, {"status": "disabled"})


def test_a_change_that_is_refused_is_not_recorded(client: SignedClient, stripe: FakeStripe) -> None:
    account = added(client)
    recorded = StaffAction.objects.count()
    wrong = {"payment_methods": ["cash"]}
    error(client.patch(f"{ACCOUNTS}/{account['id']}", wrong), 400, "validation_failed")
    assert StaffAction.objects.count() == recorded


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"channel": ...}, "channel"),
    ({"channel": "nobody"}, "channel"),
    ({"channel": "simulator"}, "channel"),
    ({"display_name": ""}, "display_name"),
    ({"display_name": "x" * 101}, "display_name"),
    ({"credentials": ...}, "credentials"),
    ({"credentials": None}, "credentials"),
    ({"credentials": [KEY]}, "credentials"),
    ({"credentials": {}}, "credentials.secret_key"),
    ({"credentials": {**CREDENTIALS, "secret_key": 5}}, "credentials.secret_key"),
    ({"credentials": {**CREDENTIALS, "secret_key": " "}}, "credentials.secret_key"),
    ({"credentials": {**CREDENTIALS, "secret_key": "sk_test_\u202e"}}, "credentials.secret_key"),
    ({"credentials": {**CREDENTIALS, "secret_key": "sk_test_" + "x" * 20_000}}, "credentials.secret_key"),
    ({"credentials": {**CREDENTIALS, "webhook_secrets": "a\nb"}}, "credentials.webhook_secrets"),
    ({"credentials": {**CREDENTIALS, "password": "x"}}, "credentials.password"),
    ({"payment_methods": ["cash"]}, "payment_methods"),
    ({"payment_methods": "card"}, "payment_methods"),
    ({"save_unchecked": "maybe"}, "save_unchecked"),
    ({"merchant": "mine"}, "merchant"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    client: SignedClient, stripe: FakeStripe, change: dict[str, Any], field: str
) -> None:
    before = row_counts()
    body = {name: value for name, value in account_request(**change).items() if value is not ...}
    answer = client.post(ACCOUNTS, body, idempotency_key=new_no("key"))
    assert answer.status_code == 400, answer.content
    refused = json.loads(answer.content)
    assert field in refused["details"] or refused["error_code"] == "malformed_body", refused
    assert not [secret for secret in SECRETS if secret in answer.content.decode()]
    assert row_counts() == before


def test_credentials_that_stripe_refuses_are_not_saved(client: SignedClient, stripe: FakeStripe) -> None:
    stripe.plan_fault(Fault.EXPIRED_API_KEY, BALANCE)
    details = error(client.post(ACCOUNTS, account_request(save_unchecked=True)), 400, "validation_failed")
    assert list(details) == ["credentials.secret_key"]
    live = {**CREDENTIALS, "secret_key": "sk_live_51other"}
    details = error(client.post(ACCOUNTS, account_request(credentials=live)), 400, "validation_failed")
    assert list(details) == ["credentials.secret_key"]
    assert not StoredChannelAccount.objects.exists()


def test_a_refused_write_leaves_its_key_free(client: SignedClient, stripe: FakeStripe) -> None:
    key = new_no("key")
    stripe.plan_fault(Fault.EXPIRED_API_KEY, BALANCE)
    error(client.post(ACCOUNTS, account_request(), idempotency_key=key), 400, "validation_failed")
    stripe.plan_fault(Fault.UNAVAILABLE, BALANCE)
    corrected = account_request(credentials=NEW_CREDENTIALS)
    error(client.post(ACCOUNTS, corrected, idempotency_key=key), 503, "credentials_not_checked")
    unchecked = {**corrected, "save_unchecked": True}
    first = client.post(ACCOUNTS, unchecked, idempotency_key=key)
    assert data(client.post(ACCOUNTS, unchecked, idempotency_key=key)) == data(first)
    assert StoredChannelAccount.objects.count() == 1


def test_unchecked_credentials_are_saved_only_on_request(client: SignedClient, stripe: FakeStripe) -> None:
    key = new_no("key")
    stripe.plan_fault(Fault.UNAVAILABLE, BALANCE)
    answer = client.post(ACCOUNTS, account_request(), idempotency_key=key)
    assert error(answer, 503, "credentials_not_checked")["channel"] == "stripe"
    assert answer["Retry-After"]
    assert not StoredChannelAccount.objects.exists()
    assert (
        data(client.post(ACCOUNTS, account_request(), idempotency_key=key))["last_check_result"] == "accepted"
    )
    stripe.plan_fault(Fault.UNAVAILABLE, BALANCE)
    unchecked = added(client, save_unchecked=True)
    assert unchecked["last_check_result"] == "unchecked"
    checked = data(client.post(f"{ACCOUNTS}/{unchecked['id']}/check", {}))
    assert checked["last_check_result"] == "accepted"


def test_a_check_records_a_refusal(client: SignedClient, stripe: FakeStripe) -> None:
    account = added(client)
    stripe.plan_fault(Fault.EXPIRED_API_KEY, BALANCE)
    checked = data(client.post(f"{ACCOUNTS}/{account['id']}/check", {}))
    assert (checked["last_check_result"], checked["status"]) == ("refused", "active")


def test_the_key_of_a_request_that_died_creates_one_account(
    client: SignedClient, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The process dies between the check and the write; its lease ends, and a repetition resumes."""
    settings.IDEMPOTENCY_LEASE_SECONDS = 0
    key = new_no("key")
    with monkeypatch.context() as dying:
        dying.setattr(services, "seal_credentials", lambda _credentials: 1 / 0)
        assert client.post(ACCOUNTS, account_request(), idempotency_key=key).status_code == 500
    assert not StoredChannelAccount.objects.exists()
    first = client.post(ACCOUNTS, account_request(), idempotency_key=key)
    again = client.post(ACCOUNTS, account_request(), idempotency_key=key)
    assert data(first) == data(again)
    assert StoredChannelAccount.objects.count() == 1
    other = client.post(ACCOUNTS, account_request(credentials=NEW_CREDENTIALS), idempotency_key=key)
    assert error(other, 422, "idempotency_key_reused")["fields"] == ["credentials"]


def test_changes(client: SignedClient, stripe: FakeStripe) -> None:
    account = added(client)
    path = f"{ACCOUNTS}/{account['id']}"
    changed = data(client.patch(path, {"display_name": "Shop 2", "payment_methods": ["card"]}))
    assert (changed["display_name"], changed["payment_methods"]) == ("Shop 2", ["card"])
    assert data(client.patch(path, {"payment_methods": []}))["payment_methods"] == []
    for change, field in [
        ({}, "body"),
        ({"display_name": None}, "display_name"),
        ({"payment_methods": ["cash"]}, "payment_methods"),
        ({"credentials": CREDENTIALS}, "credentials"),
        ({"status": "disabled"}, "status"),
    ]:
        assert field in error(client.patch(path, change), 400, "validation_failed")
    assert data(client.post(f"{path}/disable", {}))["status"] == "disabled"
    assert data(client.post(f"{path}/disable", {}))["status"] == "disabled"
    assert data(client.get(f"{ACCOUNTS}?status=active"))["items"] == []
    assert [
        each["id"] for each in data(client.get(f"{ACCOUNTS}?status=disabled&channel=stripe"))["items"]
    ] == [account["id"]]
    assert data(client.post(f"{path}/enable", {}))["status"] == "active"


@pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, "1", None, 1.5])
def test_a_wrong_overlap_is_named(client: SignedClient, stripe: FakeStripe, overlap: Any) -> None:
    account = added(client)
    change = {"credentials": NEW_CREDENTIALS, "overlap_seconds": overlap}
    refused = error(client.post(f"{ACCOUNTS}/{account['id']}/rotate", change), 400, "validation_failed")
    assert "overlap_seconds" in refused


def test_accounts_belong_to_one_merchant_and_environment(
    client: SignedClient, live_client: SignedClient, other_client: SignedClient, stripe: FakeStripe
) -> None:
    path = f"{ACCOUNTS}/{added(client)['id']}"
    for stranger in (live_client, other_client):
        assert data(stranger.get(ACCOUNTS))["items"] == []
        error(stranger.get(path), 404, "not_found")
        error(stranger.patch(path, {"display_name": "Mine"}), 404, "not_found")
        error(stranger.post(f"{path}/rotate", {"credentials": NEW_CREDENTIALS}), 404, "not_found")
        for verb in ("check", "disable", "enable"):
            error(stranger.post(f"{path}/{verb}", {}), 404, "not_found")
    error(client.get(f"{ACCOUNTS}/{uuid.uuid4()}"), 404, "not_found")


def test_reading_and_writing_need_scopes_of_their_own(client: SignedClient, stripe: FakeStripe) -> None:
    path = f"{ACCOUNTS}/{added(client)['id']}"
    reader, writer, other = (
        limited(client, scope) for scope in ("channel_accounts:read", "channel_accounts:write", "keys:manage")
    )
    for missing in (writer, other):
        error(missing.get(ACCOUNTS), 403, "insufficient_scope")
        error(missing.get(path), 403, "insufficient_scope")
    for missing in (reader, other):
        error(missing.post(ACCOUNTS, account_request()), 403, "insufficient_scope")
        error(missing.patch(path, {"display_name": "x"}), 403, "insufficient_scope")
        for verb in ("rotate", "check", "disable", "enable"):
            error(missing.post(f"{path}/{verb}", {}), 403, "insufficient_scope")
    assert len(data(reader.get(ACCOUNTS))["items"]) == 1
    assert data(writer.post(f"{path}/disable", {}))["status"] == "disabled"


def limited(client: SignedClient, scope: str) -> SignedClient:
    issued = data(client.post("/api/v1/merchant/api-keys", {"scopes": [scope]}))
    return SignedClient(issued["key"], issued["secret"])


def test_there_is_a_limit(client: SignedClient, stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ACCOUNTS", 1)
    added(client)
    assert error(client.post(ACCOUNTS, account_request()), 409, "too_many_channel_accounts") == {"limit": 1}
