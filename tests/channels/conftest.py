import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import stripe

from channels.stripe import webhooks
from tests.channels.rigs import Rig, SimulatorRig, StripeRig, VoucherRig
from tests.support.fixtures import _in_a_hurry, acme, client, live_client  # noqa: F401
from tests.support.stripe import reading
from tests.support.stripe.fake import FakeStripe, fake_stripe

WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]


@pytest.fixture(scope="session")
def _one_fake_stripe() -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        yield fake


@pytest.fixture
def fake(_one_fake_stripe: FakeStripe, settings: Any) -> Iterator[FakeStripe]:
    """Stripe, connected for test keys. Nothing planned, nothing seen."""
    settings.STRIPE_API_BASE = _one_fake_stripe.url
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_fake", "live": ""}
    settings.STRIPE_WEBHOOK_SECRETS = {"test": WEBHOOK_SECRETS, "live": ["whsec_live"]}
    _one_fake_stripe.reset()
    yield _one_fake_stripe
    assert not _one_fake_stripe.broken, _one_fake_stripe.broken


@pytest.fixture(autouse=True)
def _reads_what_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever our code reads of an answer or an event of Stripe exists in the specification and in the SDK."""
    as_dict = stripe.StripeObject.to_dict

    def to_dict(self: stripe.StripeObject, **options: Any) -> Any:
        return reading.published(as_dict(self, **options), type(self))

    def loads(body: bytes) -> Any:
        return reading.published(json.loads(body), stripe.Event)

    monkeypatch.setattr(stripe.StripeObject, "to_dict", to_dict)
    monkeypatch.setattr(webhooks, "json", SimpleNamespace(loads=loads))


WITH_A_PAGE = ("simulator", "stripe page", "voucher")


@pytest.fixture(params=[*WITH_A_PAGE, "stripe saved card"])
def rig(request: pytest.FixtureRequest) -> Rig:
    return _rig(request)


@pytest.fixture(params=WITH_A_PAGE)
def page_rig(request: pytest.FixtureRequest) -> Rig:
    """Of a channel whose payments wait for their customer."""
    return _rig(request)


def _rig(request: pytest.FixtureRequest) -> Rig:
    if request.param == "simulator":
        return SimulatorRig()
    if request.param == "voucher":
        return VoucherRig()
    fake: FakeStripe = request.getfixturevalue("fake")
    return StripeRig(fake, saved_card=request.param == "stripe saved card")
