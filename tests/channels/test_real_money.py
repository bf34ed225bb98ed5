"""The address of an account's API decides whether it moves real money; the environment does not."""

from typing import Any

import pytest

from channels.base import LIVE, TEST, ChannelAccount
from channels.registry import get_channel_with_account

PRODUCTION_WECHAT, PRODUCTION_ALIPAY = (
    "https://api2.mch.weixin.qq.com/",
    "https://openapi.alipay.com/gateway.do",
)


@pytest.mark.parametrize(
    ("channel", "settings_changed", "is_real"),
    [
        ("simulator", {}, False),
        ("stripe", {}, False),
        ("paypal", {"PAYPAL_API_BASE": ""}, False),
        ("paypal", {"PAYPAL_API_BASE": "https://api-m.paypal.com"}, True),
        ("alipay", {"ALIPAY_GATEWAY_URL": ""}, False),
        ("alipay", {"ALIPAY_GATEWAY_URL": PRODUCTION_ALIPAY}, True),
        ("alipay", {"ALIPAY_GATEWAY_URL": "http://127.0.0.1:40005/gateway.do"}, False),
        ("wechat", {"WECHAT_API_BASE": "https://api.mch.weixin.qq.com"}, True),
        ("wechat", {"WECHAT_API_BASE": PRODUCTION_WECHAT}, True),
        ("wechat", {"WECHAT_API_BASE": "http://127.0.0.1:40006"}, False),
    ],
)
def test_of_an_account_for_test_keys(
    settings: Any, channel: str, settings_changed: dict[str, str], is_real: bool
) -> None:
    for name, value in settings_changed.items():
        setattr(settings, name, value)
    assert get_channel_with_account(channel, ChannelAccount(TEST)).moves_real_money is is_real


@pytest.mark.parametrize("channel", ["stripe", "paypal", "alipay", "wechat"])
def test_accounts_for_live_keys_move_real_money(channel: str) -> None:
    assert get_channel_with_account(channel, ChannelAccount(LIVE)).moves_real_money
