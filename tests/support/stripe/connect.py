"""Accounts that are connected to the platform's, on both sides: at the fake of Stripe, and here."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from channel_accounts import services
from channel_accounts.models import CredentialCheckResult, StoredChannelAccount
from channel_accounts.services import CheckedCredentials
from channels.base import AccountKind
from common.ids import uuid7
from merchants.services import NewMerchant
from tests.support.stripe.events import sign
from tests.support.stripe.fake import FakeStripe

CONNECT_SECRET = "whsec_connect"
CONNECT_PATH = "/api/v1/webhooks/stripe/connect"


def add_connected_account(fake: FakeStripe, merchant: NewMerchant, number: str) -> StoredChannelAccount:
    """Its owner connects it to the platform, and staff add it for the merchant."""
    fake.connect_account(number)
    checked = CheckedCredentials(
        CredentialCheckResult.ACCEPTED, "", number, {"stripe_account": number}, AccountKind.CONNECTED
    )
    return services.create_account(
        merchant_id=merchant.merchant.pk,
        environment="test",
        channel="stripe",
        display_name=number,
        checked=checked,
        account_id=uuid7(),
    )


def send_connect_event(
    event: dict[str, Any], *, secret: str = CONNECT_SECRET, path: str = CONNECT_PATH
) -> HttpResponse:
    body = json.dumps(event).encode()
    headers = {"Stripe-Signature": sign(body, secret=secret)}
    return Client().post(path, body, content_type="application/json", headers=headers)
