"""The rules for orders: numbers, repetition, time limits, closing."""

import datetime as dt
from typing import Any

import pytest
from wechatpayv3.type import WeChatPayType

from channels.wechat.sandbox import operations
from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.customer import CannotPay
from tests.channels.wechat_sandbox.conftest import Scene, parsed
from tests.support.wechat_sandbox import FIRST_MCHID

TOO_LONG = 33 * "1"
SCENE_INFO = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"out_trade_no": "12345"}, "out_trade_no"),
        ({"out_trade_no": TOO_LONG}, "out_trade_no"),
        ({"out_trade_no": "PAY.20260101"}, "out_trade_no"),
        ({"out_trade_no": "订单号订单号"}, "out_trade_no"),
        ({"description": 128 * "茶"}, "description"),
        ({"attach": 129 * "a"}, "attach"),
        ({"notify_url": "https://shop.example/notify?a=1"}, "notify_url"),
        ({"notify_url": "shop.example"}, "notify_url"),
        ({"amount": {"total": 0}}, "amount/total"),
        ({"amount": {"total": -1}}, "amount/total"),
        ({"amount": {"total": 1.5}}, "amount/total"),
        ({"amount": {"total": "1"}}, "amount/total"),
        ({"amount": {"total": True}}, "amount/total"),
        ({"amount": {"total": 10**30}}, "amount/total"),
        ({"amount": {"currency": "CNY"}}, "amount/total"),
        ({"amount": {"total": 1, "currency": "USD"}}, "amount/currency"),
        ({"amount": [1]}, "amount"),
        ({"time_expire": "2026-01-01 10:00:00+08:00"}, "time_expire"),
        ({"time_expire": "2026-01-01T10:00:00"}, "time_expire"),
        ({"time_expire": "tomorrow"}, "time_expire"),
        ({"mchid": "1900000209"}, "mchid"),
        ({"pay_type": WeChatPayType.JSAPI, "payer": {"openid": 1}}, "payer/openid"),
        ({"pay_type": WeChatPayType.JSAPI, "payer": {"name": "a"}}, "payer/openid"),
        ({"pay_type": WeChatPayType.H5, "scene_info": {"payer_client_ip": "::1"}}, "scene_info/h5_info"),
    ],
)
def test_wrong_parameters_are_refused_by_name(scene: Scene, changes: dict[str, Any], field: str) -> None:
    given = {"description": "茶", "out_trade_no": "order-0001", "amount": {"total": 1}} | changes
    status, answer = parsed(scene.sdk.pay(**given))
    assert (status, answer["code"], answer["detail"]["field"]) == (400, "PARAM_ERROR", field)
    assert f"/body/{field}" in answer["message"]


def test_another_appid_is_refused(scene: Scene) -> None:
    status, answer = scene.prepay(appid="wx1234567890")
    assert (status, answer["code"]) == (400, "APPID_MCHID_NOT_MATCH")


@pytest.mark.parametrize("number", ["123456", 32 * "a", "A_-|*09"])
def test_numbers_that_are_taken(scene: Scene, number: str) -> None:
    assert scene.prepay(number)[0] == 200


def test_the_same_parameters_repeat_the_answer(scene: Scene) -> None:
    assert scene.prepay(attach="a") == scene.prepay(attach="a")


def test_other_parameters_for_the_same_number_are_an_error(scene: Scene) -> None:
    scene.prepay()
    for changed in (
        scene.prepay(total=1001),
        scene.prepay(attach="a"),
        scene.prepay(pay_type=WeChatPayType.H5, scene_info=SCENE_INFO),
    ):
        assert (changed[0], changed[1]["code"]) == (400, "INVALID_REQUEST")
    assert operations.pay(scene.bank, FIRST_MCHID, "order-0001")
    assert scene.query()[1]["amount"]["total"] == 1000


def test_a_paid_order_is_not_prepaid_again(scene: Scene) -> None:
    scene.paid()
    status, answer = scene.prepay()
    assert (status, answer["code"]) == (400, "ORDERPAID")


def test_a_code_lives_two_hours_and_is_renewed_by_the_same_parameters(scene: Scene) -> None:
    first = scene.prepay()[1]["code_url"]
    scene.run(seconds=7100)
    assert scene.prepay()[1]["code_url"] == first
    scene.run(seconds=200)
    assert scene.prepay()[1]["code_url"] != first


def test_an_h5_link_lives_five_minutes(scene: Scene) -> None:
    options = {"pay_type": WeChatPayType.H5, "scene_info": SCENE_INFO}
    first = scene.prepay(**options)[1]["h5_url"]
    scene.run(seconds=301)
    assert scene.prepay(**options)[1]["h5_url"] != first


@pytest.mark.parametrize(
    ("time_expire_in", "last_second"),
    [(None, 7 * 86400), (3600, 3600), (1, 60), (-3600, 60), (100 * 86400, 90 * 86400)],
)
def test_until_when_an_order_can_be_paid(scene: Scene, time_expire_in: int | None, last_second: int) -> None:
    """Without time_expire an order ends after 7 days; less than a minute becomes a minute, more than 90 days 90."""
    options = {}
    if time_expire_in is not None:
        options["time_expire"] = format_rfc3339(scene.bank.clock.now() + time_expire_in)
    scene.prepay("order-early", **options)
    scene.prepay("order-late", **options)
    scene.run(seconds=last_second - 2)
    assert operations.pay(scene.bank, FIRST_MCHID, "order-early")
    scene.run(seconds=4)
    with pytest.raises(CannotPay, match="失效"):
        operations.pay(scene.bank, FIRST_MCHID, "order-late")
    # An order that can no longer be paid is not closed yet: "并非订单关闭的时间".
    assert scene.query("order-late")[1]["trade_state"] == "NOTPAY"


def test_time_expire_is_read_in_its_own_time_zone(scene: Scene) -> None:
    at = dt.datetime.fromtimestamp(scene.bank.clock.now() + 600, dt.UTC).isoformat(timespec="seconds")
    scene.prepay(time_expire=at)
    scene.run(seconds=590)
    assert operations.pay(scene.bank, FIRST_MCHID, "order-0001")


def test_a_closed_order_cannot_be_paid_or_prepaid(scene: Scene) -> None:
    scene.prepay()
    assert scene.sdk.close(out_trade_no="order-0001") == (204, b"")
    with pytest.raises(CannotPay, match="该订单已关闭"):
        operations.pay(scene.bank, FIRST_MCHID, "order-0001")
    status, answer = scene.prepay()
    assert (status, answer["code"]) == (400, "ORDER_CLOSED")
    assert "amount" not in scene.query()[1]


def test_a_paid_or_refunded_order_is_not_closed(scene: Scene) -> None:
    scene.paid()
    for _ in range(2):
        status, answer = parsed(scene.sdk.close(out_trade_no="order-0001"))
        assert (status, answer["code"]) == (400, "ORDERPAID")
        scene.refund()


def test_unknown_orders(scene: Scene) -> None:
    for answer in (
        scene.query(),
        parsed(scene.sdk.query(transaction_id="4200000000")),
        parsed(scene.sdk.close(out_trade_no="order-0001")),
    ):
        assert (answer[0], answer[1]["code"]) == (404, "ORDER_NOT_EXIST")


def test_an_order_is_paid_once(scene: Scene) -> None:
    scene.paid()
    with pytest.raises(CannotPay, match="该订单已支付"):
        operations.pay(scene.bank, FIRST_MCHID, "order-0001")


def test_a_customer_may_pay_just_after_the_order_was_closed(scene: Scene) -> None:
    scene.prepay()
    scene.sdk.close(out_trade_no="order-0001")
    operations.pay(scene.bank, FIRST_MCHID, "order-0001", is_forced=True)
    assert scene.query()[1]["trade_state"] == "SUCCESS"


def test_two_merchants_may_use_the_same_number(scene: Scene) -> None:
    scene.paid()
    other = scene.sandbox.sdk("1900000209")
    assert parsed(other.query(out_trade_no="order-0001"))[0] == 404
    assert other.pay(description="茶", out_trade_no="order-0001", amount={"total": 5})[0] == 200
    assert scene.query()[1]["amount"]["total"] == 1000
    assert parsed(other.query(transaction_id=scene.query()[1]["transaction_id"]))[0] == 404
