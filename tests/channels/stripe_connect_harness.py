"""The harness of a merchant's account that is connected to the platform's account at Stripe."""

import json

from channel_accounts.loaded_accounts import load_account
from channels.base import WebhookRequest
from merchants.services import NewMerchant
from tests.channels.harness import StripeHarness
from tests.support.stripe.connect import CONNECT_SECRET, add_connected_account
from tests.support.stripe.events import sign
from tests.support.stripe.fake import FakeStripe


class ConnectedStripeHarness(StripeHarness):
    """The payments of a merchant: nothing may reach the platform's own account."""

    def __init__(self, fake: FakeStripe, merchant: NewMerchant) -> None:
        super().__init__(fake, saved_card=False)
        row = add_connected_account(fake, merchant, "acct_1ShopInBerlin")
        self.stripe_account = fake.get_connected(row.account_no)
        self.account = load_account(row.id).account

    def read_amounts(self, reference: str) -> tuple[int, int]:
        assert self.fake.account.get_amounts(reference) == (0, 0)
        return self.stripe_account.get_amounts(reference)

    def take_webhooks(self) -> list[WebhookRequest]:
        bodies = [json.dumps(event, indent=2).encode() for event in self.fake.take_events()]
        return [
            WebhookRequest(body, {"Stripe-Signature": sign(body, secret=CONNECT_SECRET)}) for body in bodies
        ]
