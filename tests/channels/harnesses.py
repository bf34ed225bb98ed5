"""The payment methods of all channels that the conformance tests go through."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from channels import registry
from tests.channels.harness import ChannelHarness, SimulatorHarness, StripeHarness, VoucherHarness
from tests.channels.voucher.channel import VoucherChannel
from tests.channels.wechat_harness import WechatHarness
from tests.support.stripe.fake import FakeStripe


def _build_stripe_harness(request: pytest.FixtureRequest, *, saved_card: bool) -> StripeHarness:
    fake: FakeStripe = request.getfixturevalue("fake")
    return StripeHarness(fake, saved_card=saved_card)


def _build_voucher_harness(request: pytest.FixtureRequest) -> VoucherHarness:
    """Registers the channel with one line, as docs/CHANNELS.md says."""
    settings, monkeypatch = request.getfixturevalue("settings"), request.getfixturevalue("monkeypatch")
    monkeypatch.setattr(registry, "_instances", {})
    settings.CHANNELS = [*settings.CHANNELS, "tests.channels.voucher.channel.VoucherChannel"]
    channel = registry._find_channel("voucher")
    assert isinstance(channel, VoucherChannel)
    return VoucherHarness(channel)


def _build_wechat_harness(request: pytest.FixtureRequest, *, method: str) -> WechatHarness:
    build: Callable[[str], WechatHarness] = request.getfixturevalue("wechat")
    return build(method)


@dataclass(frozen=True)
class HarnessEntry:
    """How a harness is built, and which journeys its payment method can take.

    `waits`: a payment waits for its customer. `is_stored`: a query finds it before the customer has acted. `captures`:
    it can be authorized first. `is_worldwide`: it takes many currencies.
    """

    build: Callable[[pytest.FixtureRequest], ChannelHarness]
    waits: bool = True
    is_stored: bool = True
    captures: bool = True
    is_worldwide: bool = True


# A new channel adds one line for each of its payment methods.
HARNESSES = {
    "simulator": HarnessEntry(lambda _request: SimulatorHarness()),
    "stripe page": HarnessEntry(lambda request: _build_stripe_harness(request, saved_card=False)),
    "stripe saved card": HarnessEntry(
        lambda request: _build_stripe_harness(request, saved_card=True), waits=False
    ),
    "voucher": HarnessEntry(_build_voucher_harness),
    "wechat native": HarnessEntry(
        lambda request: _build_wechat_harness(request, method="wechat_native"),
        captures=False,
        is_worldwide=False,
    ),
}


def list_harnesses(can: Callable[[HarnessEntry], bool]) -> list[str]:
    return [name for name, entry in HARNESSES.items() if can(entry)]
