"""A trade is created when the customer opens it, can be paid until its end, and is then closed."""

import re
from typing import Any

import pytest

from tests.channels.alipay_sandbox.shop import Shop

PRECREATE = "alipay.trade.precreate"


def close(shop: Shop, number: str, **common: str) -> dict[str, Any]:
    return shop.call("alipay.trade.close", {"out_trade_no": number}, **common)


def cancel(shop: Shop, **content: str) -> dict[str, Any]:
    return shop.call("alipay.trade.cancel", content)


def open_trade(shop: Shop, number: str) -> tuple[int, Any]:
    return shop.sandbox.control.handle("POST", "open", {"app_id": shop.app_id, "out_trade_no": number})


def pay(shop: Shop, number: str) -> tuple[int, Any]:
    return shop.sandbox.control.handle("POST", "pay", {"app_id": shop.app_id, "out_trade_no": number})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("total_amount", "0"),
        ("total_amount", "0.00"),
        ("total_amount", "1.001"),
        ("total_amount", "100000000.01"),
        ("total_amount", "-1"),
        ("total_amount", "1e2"),
        ("total_amount", "１"),
        ("total_amount", None),
        ("total_amount", True),
        ("out_trade_no", "x" * 65),
        ("out_trade_no", "PAY-1"),
        ("out_trade_no", ""),
        ("out_trade_no", 7),
        ("subject", ""),
        ("subject", "a&b"),
        ("subject", "x" * 257),
        ("body", {"a": 1}),
        ("product_code", "FAST_INSTANT_TRADE_PAY"),
        ("timeout_express", "1.5h"),
        ("timeout_express", "16d"),
        ("time_expire", "tomorrow"),
    ],
)
def test_fields_are_checked(shop: Shop, field: str, value: object) -> None:
    content = {"out_trade_no": shop.new_number(), "total_amount": "1.00", "subject": "茶", field: value}
    answer = shop.call(PRECREATE, content)
    assert (answer["code"], answer["sub_code"]) == ("40004", "ACQ.INVALID_PARAMETER")
    assert field in answer["sub_msg"]


def test_another_sellers_account(shop: Shop) -> None:
    content = {"out_trade_no": "1", "total_amount": "1.00", "subject": "茶", "seller_id": "2088999999999999"}
    assert shop.call(PRECREATE, content)["sub_code"] == "ACQ.INVALID_RECEIVE_ACCOUNT"


def test_the_trade_number_wins(shop: Shop) -> None:
    first, second = shop.paid("1.00"), shop.paid("2.00")
    trade_no = shop.query(first)["trade_no"]
    assert shop.query(second, trade_no=trade_no)["out_trade_no"] == first


@pytest.mark.parametrize(
    ("amount", "written"), [("0.01", "0.01"), ("100000000", "100000000.00"), (8.8, "8.80"), (7, "7.00")]
)
def test_amounts_have_two_decimals(shop: Shop, amount: object, written: str) -> None:
    number = shop.paid(amount)
    assert shop.query(number)["total_amount"] == written


def test_a_code_that_nobody_has_scanned_is_no_trade(shop: Shop) -> None:
    number = shop.precreate()
    assert shop.query(number)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert close(shop, number)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    # Nevertheless the code works, until two hours have passed.
    shop.wait(minutes=119)
    assert open_trade(shop, number)[0] == 200
    assert shop.query(number)["trade_status"] == "WAIT_BUYER_PAY"


@pytest.mark.parametrize(
    ("content", "minutes"),
    [
        ({}, 120),
        ({"qr_code_timeout_express": "5m"}, 5),
        ({"qr_code_timeout_express": "90m", "time_expire": "in 1 h"}, 60),
    ],
)
def test_a_code_ends(shop: Shop, content: dict[str, str], minutes: int) -> None:
    number = shop.precreate(**_with_times(shop, content))
    shop.wait(minutes=minutes)
    status, answer = open_trade(shop, number)
    assert (status, answer["sub_code"]) == (409, "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR")
    assert shop.query(number)["sub_code"] == "ACQ.TRADE_NOT_EXIST"


@pytest.mark.parametrize(
    ("content", "minutes"),
    [({}, 15 * 24 * 60), ({"timeout_express": "30m"}, 30), ({"time_expire": "in 1 h"}, 60)],
)
def test_a_trade_that_is_not_paid_in_time_is_closed(
    shop: Shop, content: dict[str, str], minutes: int
) -> None:
    number = shop.precreate(**_with_times(shop, content))
    open_trade(shop, number)
    shop.wait(minutes=minutes, seconds=-1)
    assert shop.query(number)["trade_status"] == "WAIT_BUYER_PAY"
    shop.wait(seconds=1)
    assert shop.query(number)["trade_status"] == "TRADE_CLOSED"
    assert pay(shop, number)[1]["sub_code"] == "ACQ.TRADE_HAS_CLOSE"
    assert "send_pay_date" not in shop.query(number)


def _with_times(shop: Shop, content: dict[str, str]) -> dict[str, str]:
    shop.wait(seconds=1)
    soon = shop.sandbox.bank.clock.now().replace(microsecond=0)
    return {
        name: f"{soon.replace(hour=(soon.hour + 1) % 24):%Y-%m-%d %H:%M:%S}" if value == "in 1 h" else value
        for name, value in content.items()
    }


def test_time_expire_in_the_past(shop: Shop) -> None:
    content = {
        "out_trade_no": "1",
        "total_amount": "1",
        "subject": "茶",
        "time_expire": "2020-01-01 00:00:00",
    }
    assert shop.call(PRECREATE, content)["sub_code"] == "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR"


def test_one_order_number(shop: Shop) -> None:
    """A number can be used again with the same terms while the order is unpaid. Other terms are refused, and so is a
    paid or closed order."""
    number = shop.precreate("5.00")
    shop.precreate("5.00", out_trade_no=number)
    open_trade(shop, number)
    shop.precreate("5.00", out_trade_no=number)
    again = {"out_trade_no": number, "subject": "咖啡 Coffee"}
    assert shop.call(PRECREATE, {**again, "total_amount": "6"})["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    pay(shop, number)
    assert shop.call(PRECREATE, {**again, "total_amount": "5"})["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"
    shop.refund(number, "5.00")
    assert shop.call(PRECREATE, {**again, "total_amount": "5"})["sub_code"] == "ACQ.TRADE_HAS_CLOSE"


def test_two_offers_of_one_order_with_other_terms(shop: Shop) -> None:
    number = shop.precreate("5.00")
    shop.control("POST", "open", app_id=shop.app_id, out_trade_no=number)
    other = shop.page(out_trade_no=number, total_amount="6.00")
    assert "CONTEXT_INCONSISTENT" in shop.open_page(other).content.decode("gbk")


def test_only_an_unpaid_trade_can_be_closed(shop: Shop) -> None:
    number = shop.paid()
    assert close(shop, number)["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    assert shop.query(number)["trade_status"] == "TRADE_SUCCESS"


def test_a_closed_trade_cannot_be_paid(shop: Shop) -> None:
    number = shop.precreate()
    open_trade(shop, number)
    assert close(shop, number)["code"] == "10000"
    assert pay(shop, number)[1]["sub_code"] == "ACQ.TRADE_HAS_CLOSE"


def test_cancel(shop: Shop) -> None:
    assert "action" not in cancel(shop, out_trade_no="never_seen")
    assert cancel(shop, trade_no="2026112822001")["sub_code"] == "ACQ.TRADE_NOT_EXIST"

    unpaid = shop.precreate()
    open_trade(shop, unpaid)
    assert cancel(shop, out_trade_no=unpaid)["action"] == "close"
    assert cancel(shop, out_trade_no=unpaid)["action"] == "close"

    paid = shop.paid("9.00")
    assert cancel(shop, out_trade_no=paid)["action"] == "refund"
    assert cancel(shop, out_trade_no=paid)["action"] == "refund"
    assert shop.query(paid)["trade_status"] == "TRADE_CLOSED"
    ledger = shop.control("GET", "ledger", seller_id=shop.seller_id)
    assert [entry["amount_fen"] for entry in ledger["entries"]] == [900, -900]


def test_a_finished_trade_cannot_be_cancelled(shop: Shop) -> None:
    partly = shop.paid("9.00")
    shop.refund(partly, "1.00", "1")
    assert cancel(shop, out_trade_no=partly)["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    pending = shop.paid("9.00")
    shop.fault("refund", "refund_fails_later", seconds=60)
    shop.refund(pending, "9.00")
    assert cancel(shop, out_trade_no=pending)["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    shop.wait(seconds=60)
    assert cancel(shop, out_trade_no=pending)["action"] == "refund"
    old = shop.paid()
    shop.wait(hours=24, seconds=1)
    assert cancel(shop, out_trade_no=old)["sub_code"] == "ACQ.TRADE_CANCEL_TIME_OUT"
    page = shop.page()
    shop.open_page(page)
    number = re.findall(r'"out_trade_no": "(\w+)"', page["biz_content"])[0]
    pay(shop, number)
    assert cancel(shop, out_trade_no=number)["sub_code"] == "ACQ.CANCEL_NOT_ALLOWED"


def test_unpaid_amounts_are_zero(shop: Shop) -> None:
    number = shop.precreate()
    open_trade(shop, number)
    answer = shop.query(number)
    assert (answer["receipt_amount"], answer["buyer_pay_amount"], answer["total_amount"]) == (
        "0.00",
        "0.00",
        "88.88",
    )
    pay(shop, number)
    answer = shop.query(number, query_options=["fund_bill_list"])
    assert answer["fund_bill_list"] == [{"amount": "88.88", "fund_channel": "ALIPAYACCOUNT"}]
    assert answer["send_pay_date"]


def test_a_trade_finishes_when_it_can_no_longer_be_refunded(shop: Shop) -> None:
    number = shop.paid()
    shop.wait(days=365)
    assert shop.query(number)["trade_status"] == "TRADE_FINISHED"
    assert shop.refund(number, "88.88")["sub_code"] == "ACQ.TRADE_HAS_FINISHED"
