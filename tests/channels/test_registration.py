"""A channel in a folder of the tests is registered with one line, and serves a payment through the API."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from channels import registry
from channels.base import PaymentState
from common import sensitive_text
from tests.channels.voucher.channel import SIGNATURE_HEADER, VoucherChannel, sign
from tests.support.shop import Body, create, data, error, get_payment, opened, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
PATH = "tests.channels.voucher.channel.VoucherChannel"


@pytest.fixture
def voucher(settings: Any, monkeypatch: pytest.MonkeyPatch) -> VoucherChannel:
    """Registers the channel with one line, and returns the instance that the registry builds."""
    monkeypatch.setattr(registry, "_instances", {})
    settings.CHANNELS = [*settings.CHANNELS, PATH]
    channel = registry._find_channel("voucher")
    assert isinstance(channel, VoucherChannel)
    return channel


def send_webhook(payment: Body) -> HttpResponse:
    body = json.dumps(
        {"id": "evt_1", "type": "voucher.redeemed", "reference": payment["payment_no"]}
    ).encode()
    return Client().post(
        "/api/v1/webhooks/voucher",
        body,
        content_type="application/json",
        headers={SIGNATURE_HEADER: sign(body)},
    )


def test_a_channel_takes_and_refunds_a_payment(client: SignedClient, voucher: VoucherChannel) -> None:
    payment = opened(client, channel="voucher")
    reference = payment["payment_no"]
    assert payment["payment_url"] == f"https://voucher.example/{reference}"
    at_bank = voucher.bank.payments[reference]
    voucher.bank.payments[reference] = replace(
        at_bank, state=PaymentState.PAID, captured_minor=at_bank.amount_minor
    )
    assert data(send_webhook(payment))["effect"] == "applied"
    now = get_payment(client, payment)
    assert (now["status"], now["channel"], now["captured_amount"]) == ("succeeded", "voucher", 10_000)
    assert data(refund(client, payment, 4_000))["status"] == "succeeded"
    assert [each.amount_minor for _payment, each in voucher.bank.refunds.values()] == [4_000]


def test_without_its_line_the_channel_is_unknown(client: SignedClient) -> None:
    details = error(create(client, channel="voucher"), 422, "channel_not_available")
    (text,) = details["channel"]
    assert text.startswith("There is no channel 'voucher'. Known are: simulator, stripe")


def test_the_registry_names_no_channel() -> None:
    source = Path(registry.__file__).read_text()
    for name in ("stripe", "simulator", "match "):
        assert name not in source.lower()


def test_the_secret_credentials_of_all_channels_are_hidden_in_logs() -> None:
    """Each channel declares which of its credentials are secret; `common/` cannot import the channels."""
    secret = {
        field.name
        for name in registry.list_channel_names()
        for field in registry._find_channel(name).credential_fields
        if field.is_secret
    }
    # Stripe's are named by their own settings.
    assert secret - {"secret_key", "webhook_secrets"} == sensitive_text.SECRET_CREDENTIALS


def test_a_secret_credential_is_hidden(settings: Any) -> None:
    key = "0123456789abcdefghijklmnopqrstuv"
    settings.WECHAT_CREDENTIALS = {"test": {"api_v3_key": key, "mch_id": "1900000109012"}, "live": {}}
    sensitive_text._configured_secrets.cache_clear()
    try:
        assert sensitive_text.hide_secrets(f"{key} of 1900000109012") == "[redacted] of 1900000109012"
    finally:
        sensitive_text._configured_secrets.cache_clear()
