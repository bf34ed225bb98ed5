"""Customers of a platform of processes, who pay at the fake of Stripe and dispute what they paid. Stripe's webhooks are
posted over HTTP, and again until they are acknowledged."""

import json
import urllib.error
import urllib.request
from typing import Any

from tests.support.stripe.events import PATH, sign
from tests.support.stripe.fake import FakeStripe
from tests.support.stripe.specification import JsonObject
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS, wait_until

WEBHOOK_SECRET = "whsec_new"


def build_stripe_settings(fake: FakeStripe) -> dict[str, str]:
    """The settings of a platform that uses the fake for test keys."""
    return {
        "STRIPE_API_BASE": fake.url,
        "STRIPE_TEST_SECRET_KEY": "sk_test_fake",
        "STRIPE_TEST_WEBHOOK_SECRETS": WEBHOOK_SECRET,
    }


class StripeCustomers:
    def __init__(self, fake: FakeStripe, platform_url: str) -> None:
        self._fake, self._platform_url = fake, platform_url

    def pay(self, session_id: str) -> None:
        assert self._fake.pay_session(session_id)

    def open_dispute(self, session_id: str) -> None:
        """The customer takes the money back through their bank, and the platform learns of it."""
        self._fake.open_dispute(self._fake.sessions[session_id]["payment_intent"])
        for event in self._fake.take_events():
            wait_until(
                lambda event=event: self._try_to_send(event), LOADED_SECONDS, f"{event['id']} to be taken"
            )

    def get_dispute(self, number: str) -> JsonObject:
        return self._fake.account.get_dispute(number)

    def count_files(self, size: int) -> int:
        """How many files of so many bytes were uploaded as evidence."""
        return sum(file["size"] == size for file in self._fake.account.files.values())

    def _try_to_send(self, event: dict[str, Any]) -> bool:
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, secret=WEBHOOK_SECRET)}
        request = urllib.request.Request(f"{self._platform_url}{PATH}", body, headers)
        try:
            urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise AssertionError(f"{event['type']}: {error.code} {error.read().decode()}") from error
            return False
        return True
