"""A hostile merchant at the API of channel accounts: each invalid request gets an answer that names the field."""

import json
from typing import Any

import pytest

from channel_accounts.models import StoredChannelAccount
from merchants.services import NewMerchant
from tests.channel_accounts.accounts import ACCOUNTS, CREDENTIALS, account_request
from tests.support import background
from tests.support.channel_accounts import add_account
from tests.support.channels import add_channel
from tests.support.shop import capture, create, data, error, get_payment, new_no, refund
from tests.support.signing import SignedClient
from tests.support.stripe.fake import FakeStripe

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

PEM = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"
WECHAT = {
    "mch_id": "1900000001",
    "app_id": "wx1",
    "api_v3_key": "k" * 32,
    "certificate_serial_no": "AB",
    "private_key": PEM.format("QUJD"),
}
ALIPAY = {
    "app_id": "2021000000000001",
    "seller_id": "2088000000000001",
    "private_key": PEM.format("QUJD"),
    "alipay_public_key": "QUJD",
}
PAYPAL = {"client_id": "A" * 20, "client_secret": "s" * 20}
HOSTILE: list[tuple[str, dict[str, Any], str, str]] = [
    ("stripe", CREDENTIALS, "secret_key", "sk_test_密钥"),
    ("stripe", CREDENTIALS, "secret_key", "sk_test_é"),
    ("stripe", CREDENTIALS, "secret_key", "sk_test_\x00"),
    ("stripe", CREDENTIALS, "webhook_secrets", ",".join(["whsec_a"] * 2_000)),
    ("stripe", CREDENTIALS, "webhook_secrets", "whsec_a,whsec_b,whsec_c,whsec_d,whsec_e,whsec_f"),
    ("stripe", CREDENTIALS, "webhook_secrets", "whsec_密"),
    ("stripe", CREDENTIALS, "\x00", "x"),
    ("wechat", WECHAT, "private_key", PEM.format("QUJD")),
    ("wechat", WECHAT, "private_key", PEM.format("A" * 19_000)),
    ("wechat", WECHAT, "private_key", PEM.format("\x00\x07")),
    ("wechat", WECHAT, "private_key", "-----BEGIN PRIVATE KEY-----"),
    ("wechat", WECHAT, "private_key", "\U0001f511"),
    ("wechat", WECHAT, "api_v3_key", "é" * 32),
    ("wechat", WECHAT, "mch_id", "１９００００００"),
    ("alipay", ALIPAY, "private_key", "密钥"),
    ("alipay", ALIPAY, "private_key", "A" * 19_000),
    ("alipay", ALIPAY, "private_key", PEM.format("QUJD\x00")),
    ("alipay", ALIPAY, "seller_id", "２０８８０００００００００００１"),
    ("alipay", ALIPAY, "app_id", "密" * 100),
    ("alipay", ALIPAY, "app_id", "1" * 19_000),
    ("paypal", PAYPAL, "client_id", "密"),
    ("paypal", PAYPAL, "client_secret", "é"),
    ("paypal", PAYPAL, "webhook_id", "密" * 10_000),
]


@pytest.mark.parametrize(("channel", "credentials", "name", "value"), HOSTILE)
def test_garbage_is_refused_by_name(
    client: SignedClient,
    stripe: FakeStripe,
    settings: Any,
    channel: str,
    credentials: dict[str, str],
    name: str,
    value: str,
) -> None:
    settings.WECHAT_API_BASE = settings.ALIPAY_GATEWAY_URL = settings.PAYPAL_API_BASE = "http://127.0.0.1:9"
    body = account_request(channel=channel, credentials={**credentials, name: value}, save_unchecked=True)
    answer = client.post(ACCOUNTS, body, idempotency_key=new_no("key"))
    assert answer.status_code == 400, answer.content[:500]
    refused = json.loads(answer.content)
    assert f"credentials.{name}" in refused["details"] or refused["error_code"] == "malformed_body", refused
    assert name not in credentials or value not in answer.content.decode()
    assert not StoredChannelAccount.objects.exists()


def test_a_surrogate_is_refused(client: SignedClient, stripe: FakeStripe) -> None:
    """A lone surrogate arrives as an escape of JSON, because UTF-8 cannot encode it."""
    body = json.dumps(account_request(credentials={**CREDENTIALS, "secret_key": "sk_test_\ud800"}))
    answer = client.request("POST", ACCOUNTS, body=body.encode(), idempotency_key=new_no("key"))
    assert answer.status_code == 400
    assert not StoredChannelAccount.objects.exists()


class TestAnAccountThatIsDisabled:
    """Payments stay with a disabled account: they are finished, captured and refunded with its credentials."""

    @pytest.fixture
    def account(self, acme: NewMerchant, monkeypatch: pytest.MonkeyPatch) -> StoredChannelAccount:
        add_channel(monkeypatch, "north")
        return add_account(acme, "north")

    def disable(self, client: SignedClient, account: StoredChannelAccount) -> None:
        path = f"{ACCOUNTS}/{account.id}/disable"
        assert data(client.post(path, {}, idempotency_key=new_no("key")))["status"] == "disabled"
        error(create(client, channel="north"), 422, "channel_not_available")

    def test_refunds_go_to_it(self, client: SignedClient, account: StoredChannelAccount) -> None:
        payment = data(create(client, channel="north", metadata={"north": "auto_pay,no_webhook"}))
        self.disable(client, account)
        refunded = data(refund(client, payment, 400))
        assert (refunded["status"], refunded["channel_account"]) == ("succeeded", str(account.id))

    def test_a_creation_in_doubt_ends_at_it(
        self, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        script = {"north": "auto_pay,no_webhook,timeout_after"}
        begun = create(client, channel="north", metadata=script)
        assert begun.status_code == 202
        self.disable(client, account)
        background.finish()
        payment = get_payment(client, begun.json()["data"])
        assert (payment["status"], payment["channel_account"]) == ("succeeded", str(account.id))

    def test_another_account_does_not_take_them_over(
        self, client: SignedClient, acme: NewMerchant, account: StoredChannelAccount
    ) -> None:
        payment = data(create(client, channel="north", metadata={"north": "authorize,no_webhook"}))
        self.disable(client, account)
        other = add_account(acme, "north")
        captured = data(capture(client, payment))
        assert (captured["status"], captured["channel_account"]) == ("succeeded", str(account.id))
        assert data(create(client, channel="north"))["channel_account"] == str(other.id)

    def test_it_cannot_be_deleted(self, client: SignedClient, account: StoredChannelAccount) -> None:
        answer = client.delete(f"{ACCOUNTS}/{account.id}")
        error(answer, 405, "method_not_allowed")
