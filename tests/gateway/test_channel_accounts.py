"""A payment stays with the account that took it: no webhook, list or setting of another account changes it."""

import json
import time
import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from channel_accounts import loaded_accounts
from channel_accounts.credentials import seal_credentials
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channels.simulator import webhooks
from gateway.models import ChannelEvent, Payment, PaymentAttempt
from gateway.services.reconciliation.our_rows import get_attempts
from tests.support import bank
from tests.support.fixtures import NewMerchant
from tests.support.shop import create, data, error, get_payment, opened, paid, refund, sync
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def add_account(merchant_id: uuid.UUID | None, **values: Any) -> StoredChannelAccount:
    account = StoredChannelAccount.objects.create(
        merchant_id=merchant_id,
        environment="test",
        channel="simulator",
        display_name="Shop",
        sealed_credentials=seal_credentials({}),
        **values,
    )
    loaded_accounts.clear_cache()
    return account


def send(payment: dict[str, Any], token: str) -> Any:
    """Sends a webhook to the address of an account that reports the payment as paid."""
    body = json.dumps(bank.build_webhook(payment, state="paid", captured_minor=10_000)).encode()
    headers = webhooks.sign(body, timestamp=int(time.time()))
    address = f"/api/v1/webhooks/simulator{f'/{token}' if token else ''}"
    return Client().post(address, body, content_type="application/json", headers=headers)


def test_a_payment_goes_to_the_newest_active_account_of_its_merchant(
    client: SignedClient, other_client: SignedClient, acme: NewMerchant
) -> None:
    add_account(acme.merchant.pk)
    newest = add_account(acme.merchant.pk)
    payment = opened(client)
    assert payment["channel_account"] == str(newest.id)
    assert PaymentAttempt.objects.get(reference=payment["payment_no"]).channel_account_id == newest.id
    assert opened(other_client)["channel_account"] is None
    StoredChannelAccount.objects.filter(id=newest.id).update(status=AccountStatus.DISABLED)
    loaded_accounts.clear_cache()
    assert opened(client)["channel_account"] != str(newest.id)
    StoredChannelAccount.objects.update(status=AccountStatus.DISABLED)
    loaded_accounts.clear_cache()
    refused = error(create(client), 422, "channel_not_available")
    assert "disabled" in str(refused), "its money does not go to the platform instead"
    assert sync(client, payment).status_code == 200, "existing payments are still served"


def test_a_webhook_touches_the_payments_of_its_own_account_alone(
    client: SignedClient, other_client: SignedClient, acme: NewMerchant
) -> None:
    own = add_account(acme.merchant.pk)
    other = add_account(Payment.objects.get(payment_no=opened(other_client)["payment_no"]).merchant_id)
    payment, of_other = opened(client), opened(other_client)
    assert of_other["channel_account"] == str(other.id)
    assert send(payment, "no-such-token").status_code == 404
    for token in (other.webhook_token, ""):
        assert data(send(payment, token))["effect"] == "unknown_reference"
    assert get_payment(client, payment)["status"] == "pending"
    assert data(send(payment, own.webhook_token))["effect"] == "applied"
    assert get_payment(client, payment)["status"] == "succeeded"
    assert get_payment(other_client, of_other)["status"] == "pending"
    stored = ChannelEvent.objects.filter(reference=payment["payment_no"])
    assert {event.channel_account_id for event in stored} >= {own.id, other.id, None}


def test_a_refund_carries_the_account_of_its_payment(client: SignedClient, acme: NewMerchant) -> None:
    own = add_account(acme.merchant.pk)
    payment = paid(client)
    add_account(acme.merchant.pk)
    assert data(refund(client, payment, 100))["channel_account"] == str(own.id)


def test_rows_are_compared_account_by_account(client: SignedClient, acme: NewMerchant) -> None:
    of_platform = opened(client)["payment_no"]
    own = add_account(acme.merchant.pk)
    of_own = opened(client)["payment_no"]
    assert [each.reference for each in get_attempts("simulator", "test", own.id)] == [of_own]
    assert of_own not in {each.reference for each in get_attempts("simulator", "test", None)}
    assert of_platform in {each.reference for each in get_attempts("simulator", "test", None)}


def test_the_database_keeps_accounts_apart(
    client: SignedClient, other_client: SignedClient, acme: NewMerchant
) -> None:
    own = add_account(acme.merchant.pk)
    payment, of_other = opened(client), opened(other_client)
    for rows in (
        PaymentAttempt.objects.filter(reference=payment["payment_no"], channel_account=own),
        Payment.objects.filter(payment_no=of_other["payment_no"]),
    ):
        account = None if rows.model is PaymentAttempt else own
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(channel_account=account)
