"""Random journeys over every payment method: requests and answers are lost, webhooks come late, twice, in any order or
not at all, and the customer pays at a random moment. At the end both sides have the same records, and the integrity
checks find no violation.

    ./scripts/test.sh tests/channels/test_random_journeys.py --long      many more seeds
"""

import random

import pytest

from channels.base import WebhookRequest
from tests.channels.harness import ChannelHarness
from tests.channels.test_journeys import deliver, pay, require_equal_records
from tests.support import background
from tests.support.auditing import _audited  # noqa: F401
from tests.support.polling import expire_due, poll_due
from tests.support.shop import REFUNDS, Body, cancel, create, get_payment, sync
from tests.support.signing import SignedClient

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]

SEEDS, LONG_SEEDS, STEPS = 3, 100, 12
WORKER_ROUNDS = 5
# The outcome is final, or the operation is still in progress, or an earlier request is still in flight.
EXPECTED_STATUSES = (200, 202, 402, 409, 422, 503)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = LONG_SEEDS if metafunc.config.getoption("--long", False) else SEEDS
    metafunc.parametrize("seed", range(1, count + 1))


class RandomJourney:
    """One payment whose merchant, customer and channel act at random."""

    def __init__(self, client: SignedClient, harness: ChannelHarness, seed: int) -> None:
        self.client, self.harness, self.dice = client, harness, random.Random(seed)
        self.webhooks: list[WebhookRequest] = []  # sent by the channel, and not delivered yet
        self.history: list[str] = []
        self.is_paid = harness.pays_at_once
        loses = self.dice.choice(("", "", "request", "answer"))
        answer = create(client, currency=harness.currency, **harness.build_api_fields(loses=loses))
        assert answer.status_code in EXPECTED_STATUSES, answer.content
        self.payment: Body = answer.json()["data"]

    def run(self) -> None:
        for _ in range(STEPS):
            often, seldom = (self.pay, self.deliver, self.refund), (self.cancel, self.sync, self.poll)
            step = self.dice.choice((*often, *often, *seldom, self.work, self.expire))
            self.history.append(step.__name__)
            step()
        self.finish_all_work()

    def pay(self) -> None:
        payment = get_payment(self.client, self.payment)
        if not self.is_paid and payment["next_action"]:
            pay(self.harness, payment)
            self.is_paid = True

    def deliver(self) -> None:
        """Some of the webhooks arrive, in any order; some of them arrive again later."""
        self.webhooks += self.harness.take_webhooks()
        self.dice.shuffle(self.webhooks)
        arriving = self.webhooks[: self.dice.randrange(3)]
        deliver(self.harness, arriving)
        self.webhooks = self.webhooks[len(arriving) :] + [
            each for each in arriving if self.dice.random() < 0.3
        ]

    def cancel(self) -> None:
        self._expect(cancel(self.client, self.payment).status_code)

    def refund(self) -> None:
        body = {"payment_no": self.payment["payment_no"], "amount": self.dice.choice((2_000, 3_000, 6_000))}
        self._expect(self.client.post(REFUNDS, body).status_code)
        self.harness.settle_refunds()
        self.harness.pass_refund_pause()

    def sync(self) -> None:
        self._expect(sync(self.client, self.payment).status_code)

    def poll(self) -> None:
        background.make_checks_due()
        poll_due()

    def work(self) -> None:
        """Runs due sagas. A cancellation that waits for the end of the customer's page stays open."""
        background.run_rounds(WORKER_ROUNDS)

    def expire(self) -> None:
        if self.dice.random() < 0.2:
            background.expire_payment(self.payment["payment_no"])
            expire_due()

    def finish_all_work(self) -> None:
        """Runs all work that is due later, until nothing changes."""
        self.harness.end_pages()
        for _ in range(3):
            background.finish()
            self.harness.settle_refunds()
            self.harness.pass_refund_pause()
            deliver(self.harness, self.webhooks + self.harness.take_webhooks())
            self.webhooks = []
            self.poll()

    def _expect(self, status: int) -> None:
        assert status in EXPECTED_STATUSES, (status, self.history)


def test_both_sides_have_the_same_records(client: SignedClient, harness: ChannelHarness, seed: int) -> None:
    journey = RandomJourney(client, harness, seed)
    journey.run()
    require_equal_records(client, harness, journey.payment)
