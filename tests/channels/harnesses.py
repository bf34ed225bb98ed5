"""The payment methods of all channels that the conformance tests go through."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest

from channels import registry
from merchants.services import NewMerchant
from tests.channels.alipay_harness import AlipayHarness
from tests.channels.harness import ChannelHarness, SimulatorHarness, StripeHarness, VoucherHarness
from tests.channels.paypal_harness import PayPalHarness
from tests.channels.stripe_connect_harness import ConnectedStripeHarness
from tests.channels.voucher.channel import VoucherChannel
from tests.channels.wechat_harness import WechatHarness
from tests.support.stripe.fake import FakeStripe


def _build_stripe_harness(request: pytest.FixtureRequest, *, saved_card: bool) -> StripeHarness:
    fake: FakeStripe = request.getfixturevalue("fake")
    return StripeHarness(fake, saved_card=saved_card)


def _build_connected_harness(request: pytest.FixtureRequest) -> ConnectedStripeHarness:
    fake: FakeStripe = request.getfixturevalue("fake")
    merchant: NewMerchant = request.getfixturevalue("acme")
    return ConnectedStripeHarness(fake, merchant)


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


def _build_alipay_harness(request: pytest.FixtureRequest, method: str) -> AlipayHarness:
    return AlipayHarness(request.getfixturevalue("alipay"), request.getfixturevalue("monkeypatch"), method)


@dataclass(frozen=True)
class HarnessEntry:
    """How a harness is built, and which journeys its payment method supports.

    `waits`: a payment waits for its customer. `is_stored`: a query finds it before the customer has acted.
    `is_searchable`: our number alone finds it. `captures`: it can be authorized first. `captures_repeatedly`: and
    captured in parts. `is_worldwide`: it takes many currencies. `calls`: its creation is a call, and not only a page
    that is signed here. `approves`: we complete what the customer approves. `takes_late_money`: money can arrive for a
    closed payment. `can_contradict`: its records can be made to differ from its webhooks.
    """

    build: Callable[[pytest.FixtureRequest], ChannelHarness]
    waits: bool = True
    is_stored: bool = True
    is_searchable: bool = True
    captures: bool = True
    captures_repeatedly: bool = False
    is_worldwide: bool = True
    calls: bool = True
    approves: bool = False
    takes_late_money: bool = False
    can_contradict: bool = False


def _describe_wechat_method(method: str) -> HarnessEntry:
    return HarnessEntry(
        partial(_build_wechat_harness, method=method),
        captures=False,
        is_worldwide=False,
        takes_late_money=True,
        can_contradict=True,
    )


def _describe_alipay_method(method: str, *, calls: bool) -> HarnessEntry:
    """A payment exists at Alipay only after the customer has opened its page or scanned its code."""
    return HarnessEntry(
        partial(_build_alipay_harness, method=method),
        is_stored=False,
        is_searchable=False,
        captures=False,
        is_worldwide=False,
        calls=calls,
        can_contradict=True,
    )


# A new channel adds one line for each of its payment methods.
HARNESSES = {
    "simulator": HarnessEntry(
        lambda _request: SimulatorHarness(), captures_repeatedly=True, takes_late_money=True
    ),
    "simulator approval": HarnessEntry(
        lambda _request: SimulatorHarness("simulator_approval"), captures_repeatedly=True, approves=True
    ),
    "stripe page": HarnessEntry(
        lambda request: _build_stripe_harness(request, saved_card=False), captures_repeatedly=True
    ),
    "stripe saved card": HarnessEntry(
        lambda request: _build_stripe_harness(request, saved_card=True),
        waits=False,
        captures_repeatedly=True,
    ),
    "stripe connected": HarnessEntry(_build_connected_harness, captures_repeatedly=True),
    "voucher": HarnessEntry(_build_voucher_harness, takes_late_money=True, can_contradict=True),
    "wechat native": _describe_wechat_method("wechat_native"),
    "wechat jsapi": _describe_wechat_method("wechat_jsapi"),
    "wechat h5": _describe_wechat_method("wechat_h5"),
    "alipay page": _describe_alipay_method("alipay_page", calls=False),
    "alipay wap": _describe_alipay_method("alipay_wap", calls=False),
    "alipay qr": _describe_alipay_method("alipay_qr", calls=True),
    "paypal": HarnessEntry(
        lambda request: PayPalHarness(request.getfixturevalue("paypal")),
        is_searchable=False,
        is_worldwide=False,
        approves=True,
    ),
}


def list_harnesses(can: Callable[[HarnessEntry], bool]) -> list[str]:
    return [name for name, entry in HARNESSES.items() if can(entry)]
