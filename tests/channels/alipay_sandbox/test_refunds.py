"""alipay.trade.refund and its query."""

from typing import Any

import pytest

from tests.channels.alipay_sandbox.shop import Shop


def entries(shop: Shop) -> list[tuple[str, int]]:
    ledger = shop.control("GET", "ledger", seller_id=shop.seller_id)
    return [(entry["kind"], entry["amount_fen"]) for entry in ledger["entries"]]


def test_partial_refunds_until_all_is_refunded(shop: Shop) -> None:
    number = shop.paid("10.00")
    first = shop.refund(number, "4.00", "R1")
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "4.00")
    assert shop.query(number)["trade_status"] == "TRADE_SUCCESS"
    second = shop.refund(number, "6.00", "R2")
    assert (second["fund_change"], second["refund_fee"]) == (
        "Y",
        "10.00",
    )  # refund_fee is the total of the trade
    assert shop.query(number)["trade_status"] == "TRADE_CLOSED"
    assert shop.query(number)["send_pay_date"]
    assert entries(shop) == [("payment", 1000), ("refund", -400), ("refund", -600)]
    assert shop.refund(number, "0.01", "R3")["sub_code"] == "ACQ.TRADE_HAS_CLOSE"


def test_one_number_refunds_once(shop: Shop) -> None:
    number = shop.paid("10.00")
    first = shop.refund(number, "4.00", "R1")
    shop.wait(minutes=1)
    again = shop.refund(number, "4.00", "R1")
    assert again["gmt_refund_pay"] == first["gmt_refund_pay"]
    assert (again["code"], again["fund_change"], again["refund_fee"]) == ("10000", "N", "4.00")
    other = shop.refund(number, "5.00", "R1")
    assert (other["code"], other["sub_code"]) == ("40004", "ACQ.DISCORDANT_REPEAT_REQUEST")
    assert entries(shop) == [("payment", 1000), ("refund", -400)]


def test_repeating_the_refund_that_closed_the_trade(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.refund(number, "10.00", "R1")
    assert shop.refund(number, "10.00", "R1")["fund_change"] == "N"


def test_without_a_number_only_all_can_be_refunded(shop: Shop) -> None:
    number = shop.paid("10.00")
    refused = shop.refund(number, "4.00")
    assert (refused["sub_code"], refused["refund_fee"]) == ("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "0.00")
    assert shop.refund(number, "10.00")["fund_change"] == "Y"
    assert shop.query_refund(number, number)["refund_status"] == "REFUND_SUCCESS"


@pytest.mark.parametrize(
    ("amount", "sub_code"),
    [
        ("10.01", "ACQ.REASON_TRADE_REFUND_FEE_ERR"),
        ("0", "ACQ.INVALID_PARAMETER"),
        ("1.001", "ACQ.INVALID_PARAMETER"),
        (None, "ACQ.INVALID_PARAMETER"),
    ],
)
def test_amounts(shop: Shop, amount: Any, sub_code: str) -> None:
    number = shop.paid("10.00")
    assert shop.refund(number, amount, "R1")["sub_code"] == sub_code


def test_an_unpaid_trade_cannot_be_refunded(shop: Shop) -> None:
    number = shop.precreate("10.00")
    assert shop.refund(number, "10.00", "R1")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    shop.control("POST", "open", app_id=shop.app_id, out_trade_no=number)
    assert shop.refund(number, "10.00", "R1")["sub_code"] == "ACQ.TRADE_STATUS_ERROR"


def test_the_sellers_account_must_hold_the_money(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.control("POST", "withdraw", seller_id=shop.seller_id, amount="6.00")
    assert shop.refund(number, "5.00", "R1")["sub_code"] == "ACQ.SELLER_BALANCE_NOT_ENOUGH"
    assert shop.query_refund(number, "R1") == {"code": "10000", "msg": "Success"}
    shop.control("POST", "deposit", seller_id=shop.seller_id, amount="1.00")
    assert shop.refund(number, "5.00", "R1")["fund_change"] == "Y"


def test_the_query_says_nothing_about_a_refund_that_it_does_not_know(shop: Shop) -> None:
    """The answer has code 10000 and no refund, so the code alone proves nothing: open/02e7gp."""
    number = shop.paid("10.00")
    assert shop.query_refund(number, "R1") == {"code": "10000", "msg": "Success"}
    assert shop.query_refund("never_seen", "R1")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert shop.query_refund(number, "")["sub_code"] == "ACQ.INVALID_PARAMETER"


def test_options_of_the_query(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.refund(number, "4.00", "R1", refund_reason="破损")
    assert "gmt_refund_pay" not in shop.query_refund(number, "R1")
    found = shop.query_refund(number, "R1", query_options=["gmt_refund_pay", "refund_detail_item_list"])
    assert found["gmt_refund_pay"]
    assert found["refund_detail_item_list"] == [{"amount": "4.00", "fund_channel": "ALIPAYACCOUNT"}]


def test_a_refund_that_is_pending_and_succeeds(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.fault("refund", "refund_pending", seconds=60)
    assert shop.refund(number, "4.00", "R1")["fund_change"] == "N"
    assert "refund_status" not in shop.query_refund(number, "R1")
    assert (
        shop.refund(number, "6.01", "R2")["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    )  # it is on its way
    shop.wait(seconds=60)
    assert shop.query_refund(number, "R1")["refund_status"] == "REFUND_SUCCESS"
    assert entries(shop) == [("payment", 1000), ("refund", -400)]


def test_a_refund_that_fails_later_can_be_repeated(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.fault("refund", "refund_fails_later", seconds=60)
    assert shop.refund(number, "4.00", "R1")["fund_change"] == "N"
    shop.wait(seconds=60)
    assert "refund_status" not in shop.query_refund(number, "R1")
    assert shop.refund(number, "4.00", "R1")["fund_change"] == "Y"
    assert entries(shop) == [("payment", 1000), ("refund", -400)]


def test_a_pending_refund_fails_when_the_seller_has_spent_the_money(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.fault("refund", "refund_pending", seconds=60)
    shop.refund(number, "4.00", "R1")
    shop.control("POST", "withdraw", seller_id=shop.seller_id, amount="10.00")
    shop.wait(seconds=60)
    assert "refund_status" not in shop.query_refund(number, "R1")


def test_a_refund_in_the_merchants_console(shop: Shop) -> None:
    number = shop.paid("10.00")
    shop.control("POST", "refund", app_id=shop.app_id, out_trade_no=number, amount="4.00", number="C1")
    assert shop.query_refund(number, "C1")["refund_amount"] == "4.00"
    again = {"app_id": shop.app_id, "out_trade_no": number, "amount": "1.00", "number": "C1"}
    assert shop.sandbox.control.handle("POST", "refund", again) == (400, {"error": "number: C1 is used"})
    assert shop.refund(number, "7.00", "R1")["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    assert entries(shop) == [("payment", 1000), ("refund", -400)]
