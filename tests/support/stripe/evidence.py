"""A dispute at the fake of Stripe that a merchant answers with evidence: fixtures and a file."""

from pathlib import Path
from typing import Any

import pytest

from gateway.models import Dispute
from tests.support.shop import data
from tests.support.signing import SignedClient
from tests.support.stripe.events import send
from tests.support.stripe.fake import FakeStripe
from tests.support.stripe.shop import create_paid_payment, get_intent_id

PNG = b"\x89PNG\r\n\x1a\n receipt"


@pytest.fixture
def _evidence_storage(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def dispute(fake: FakeStripe, client: SignedClient) -> Dispute:
    """Of a payment in full, which Stripe has reported."""
    payment = create_paid_payment(fake, client)
    fake.open_dispute(get_intent_id(fake, payment))
    deliver_events(fake)
    return Dispute.objects.get()


def deliver_events(fake: FakeStripe) -> None:
    for event in fake.take_events():
        data(send(event))
