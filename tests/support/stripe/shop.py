"""Payments of a merchant at the fake of Stripe."""

from tests.support.shop import Body, data, opened, sync
from tests.support.signing import SignedClient
from tests.support.stripe.fake import FakeStripe


def create_paid_payment(fake: FakeStripe, client: SignedClient, **changes: object) -> Body:
    """Creates a payment that the customer pays on Stripe's page, and syncs it."""
    payment = opened(client, channel="stripe", **changes)
    fake.pay_session(payment["channel_trade_no"])
    synced: Body = data(sync(client, payment))
    return synced


def get_intent_id(fake: FakeStripe, payment: Body) -> str:
    """Returns the id of the PaymentIntent behind the payment's session."""
    intent_id: str = fake.sessions[payment["channel_trade_no"]]["payment_intent"]
    return intent_id
