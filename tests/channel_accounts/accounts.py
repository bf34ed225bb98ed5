"""Requests of tests to the API of channel accounts."""

from typing import Any

from tests.support.shop import data, new_no
from tests.support.signing import SignedClient

ACCOUNTS = "/api/v1/channel-accounts"
KEY, WEBHOOK_SECRET = "sk_test_51shopsownkey", "whsec_shopsownsecret"
NEW_KEY, NEW_WEBHOOK_SECRET = "sk_test_51shopsnewkey", "whsec_shopsnewsecret"
CREDENTIALS = {"secret_key": KEY, "webhook_secrets": WEBHOOK_SECRET}
NEW_CREDENTIALS = {"secret_key": NEW_KEY, "webhook_secrets": NEW_WEBHOOK_SECRET}
SECRETS = (KEY, WEBHOOK_SECRET, NEW_KEY, NEW_WEBHOOK_SECRET)


def account_request(**changes: Any) -> dict[str, Any]:
    return {"channel": "stripe", "display_name": "Shop", "credentials": CREDENTIALS, **changes}


def added(client: SignedClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(ACCOUNTS, account_request(**changes), idempotency_key=new_no("key"))
    account: dict[str, Any] = data(answer)
    return account
