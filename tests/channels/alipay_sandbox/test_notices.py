"""Asynchronous notices: their fields, their repetitions, and their faults."""

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.channels.alipay_sandbox.shop import Receiver, Shop
from tests.channels.alipay_sandbox.test_sdk_witness import is_signed


def sent(shop: Shop, notices: Receiver) -> list[dict[str, str]]:
    """Sends due notices, and returns all notices that the shop has received."""
    shop.sandbox.sender.send_due()
    return notices.notices_at(shop.notify_url)


def page_order(shop: Shop, method: str) -> str:
    page = shop.page(method)
    shop.open_page(page)
    return re.findall(r'"out_trade_no": "(\w+)"', page["biz_content"])[0]


def test_the_fields_of_a_payment(shop: Shop, notices: Receiver) -> None:
    number = shop.paid(body="两杯", passback_params="a%3D1")
    (notice,) = sent(shop, notices)
    trade = shop.query(number)
    assert notice.pop("sign")
    assert notice.pop("notify_id")
    assert notice == {
        "app_id": shop.app_id,
        "auth_app_id": shop.app_id,
        "body": "两杯",
        "buyer_id": trade["buyer_user_id"],
        "buyer_logon_id": trade["buyer_logon_id"],
        "buyer_pay_amount": "88.88",
        "charset": "utf-8",
        "fund_bill_list": '[{"amount":"88.88","fundChannel":"ALIPAYACCOUNT"}]',
        "gmt_create": trade["send_pay_date"],
        "gmt_payment": trade["send_pay_date"],
        "invoice_amount": "88.88",
        "notify_time": trade["send_pay_date"],
        "notify_type": "trade_status_sync",
        "out_trade_no": number,
        "passback_params": "a%3D1",
        "point_amount": "0.00",
        "receipt_amount": "88.88",
        "seller_id": shop.seller_id,
        "sign_type": "RSA2",
        "subject": "咖啡 Coffee",
        "total_amount": "88.88",
        "trade_no": trade["trade_no"],
        "trade_status": "TRADE_SUCCESS",
        "version": "1.0",
    }


def test_a_partial_refund_is_reported_with_the_total_of_the_refunds(shop: Shop, notices: Receiver) -> None:
    number = shop.paid("10.00")
    shop.refund(number, "1.00", "R1")
    shop.refund(number, "2.00", "R2")
    _, first, second = sent(shop, notices)
    assert [n["trade_status"] for n in (first, second)] == ["TRADE_SUCCESS"] * 2
    assert [(n["out_biz_no"], n["refund_fee"]) for n in (first, second)] == [("R1", "1.00"), ("R2", "3.00")]
    assert first["gmt_refund"]
    assert is_signed(shop, second)


@pytest.mark.parametrize(
    ("method", "statuses"),
    [
        ("alipay.trade.page.pay", ["TRADE_SUCCESS"]),
        ("alipay.trade.wap.pay", ["TRADE_SUCCESS", "TRADE_CLOSED"]),
    ],
)
def test_which_product_reports_that_all_is_refunded(
    shop: Shop, notices: Receiver, method: str, statuses: list[str]
) -> None:
    number = page_order(shop, method)
    shop.control("POST", "pay", app_id=shop.app_id, out_trade_no=number)
    shop.refund(number, "88.88")
    received = sent(shop, notices)
    assert [notice["trade_status"] for notice in received] == statuses
    assert all("gmt_close" in notice for notice in received[1:])


def test_which_product_reports_a_closed_order(shop: Shop, notices: Receiver) -> None:
    for method in ("alipay.trade.page.pay", "alipay.trade.wap.pay"):
        number = page_order(shop, method)
        shop.control("POST", "open", app_id=shop.app_id, out_trade_no=number)
        shop.wait(days=15)
        assert shop.query(number)["trade_status"] == "TRADE_CLOSED"
    (notice,) = sent(shop, notices)
    assert (notice["out_trade_no"], notice["trade_status"]) == (number, "TRADE_CLOSED")
    assert "refund_fee" not in notice


def test_a_call_to_close_may_name_an_address(shop: Shop, notices: Receiver) -> None:
    number = shop.precreate()
    shop.control("POST", "open", app_id=shop.app_id, out_trade_no=number)
    shop.call("alipay.trade.close", {"out_trade_no": number}, notify_url=shop.notify_url)
    assert [notice["trade_status"] for notice in sent(shop, notices)] == ["TRADE_CLOSED"]


def test_the_repetitions(shop: Shop, notices: Receiver) -> None:
    """A notice is repeated 4m, 10m, 10m, 1h, 2h, 6h and 15h after the first attempt, with one notify_id; then Alipay
    gives up."""
    notices.answers[urlsplit(shop.notify_url).path] = [(200, b"fail")] * 9
    shop.paid()
    received = sent(shop, notices)
    for minutes in (4, 10, 10, 60, 120, 360, 900):
        count = len(received)
        shop.wait(minutes=minutes, seconds=-1)
        assert len(sent(shop, notices)) == count
        shop.wait(seconds=1)
        received = sent(shop, notices)
        assert len(received) == count + 1
    shop.wait(days=3)
    assert len(sent(shop, notices)) == 8
    assert len({notice["notify_id"] for notice in received}) == 1
    assert len({notice["notify_time"] for notice in received}) == 8
    assert is_signed(shop, received[-1])


@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        ((200, b"success"), 1),
        ((200, b"SUCCESS"), 2),
        ((200, b"success\n"), 2),
        ((302, b"success"), 2),
        ((500, b"success"), 2),
    ],
)
def test_only_the_word_success_ends_the_repetitions(
    shop: Shop, notices: Receiver, answer: tuple[int, bytes], attempts: int
) -> None:
    notices.answers[urlsplit(shop.notify_url).path] = [answer]
    shop.paid()
    shop.sandbox.sender.send_due()
    shop.wait(minutes=4)
    assert len(sent(shop, notices)) == attempts


def test_an_address_that_does_not_answer(shop: Shop) -> None:
    shop.notify_url = "http://127.0.0.1:9/closed"
    number = shop.paid()
    shop.sandbox.sender.send_due()
    trade_no = shop.query(number)["trade_no"]
    (notice,) = shop.control("GET", "notices", trade_no=trade_no)
    assert (notice["state"], notice["attempts"], notice["last_answer"]) == ("waiting", 1, "ConnectionError")


def test_a_subject_that_the_charset_cannot_write(shop: Shop, notices: Receiver) -> None:
    number = shop.new_number()
    content = json.dumps(
        {"out_trade_no": number, "total_amount": "1.00", "subject": "🍵"}
    )  # escaped as \\ud83c\\udf75
    shop.call("alipay.trade.precreate", content, charset="gbk", notify_url=shop.notify_url)
    shop.control("POST", "pay", app_id=shop.app_id, out_trade_no=number)
    (notice,) = sent(shop, notices)
    assert notice["subject"] == "?"


class TestFaults:
    def test_duplicate(self, shop: Shop, notices: Receiver) -> None:
        shop.fault("notify", "duplicate_webhook")
        shop.paid()
        first, second = sent(shop, notices)
        assert first == second

    def test_late(self, shop: Shop, notices: Receiver) -> None:
        shop.fault("notify", "late_webhook", seconds=30)
        shop.paid()
        assert sent(shop, notices) == []
        shop.wait(seconds=30)
        assert len(sent(shop, notices)) == 1

    def test_never(self, shop: Shop, notices: Receiver) -> None:
        shop.fault("notify", "no_webhook")
        shop.paid()
        shop.wait(days=2)
        assert sent(shop, notices) == []

    def test_out_of_order(self, shop: Shop, notices: Receiver) -> None:
        shop.fault("notify", "out_of_order_webhook")
        number = shop.paid("10.00")
        assert sent(shop, notices) == []
        shop.refund(number, "1.00", "R1")
        assert [notice.get("refund_fee") for notice in sent(shop, notices)] == ["1.00", None]

    @pytest.mark.parametrize("kind", ["forged_webhook", "tampered_webhook"])
    def test_wrong_signature(self, shop: Shop, notices: Receiver, kind: str) -> None:
        """The notice with the wrong signature is sent once; the valid one has the same notify_id."""
        notices.answers[urlsplit(shop.notify_url).path] = [(200, b"fail")]
        shop.fault("notify", kind)
        shop.paid()
        shop.sandbox.sender.send_due()
        shop.wait(days=2)
        wrong, true = sent(shop, notices)
        assert not is_signed(shop, wrong)
        assert is_signed(shop, true)
        assert wrong["notify_id"] == true["notify_id"]

    def test_contradicted(self, shop: Shop, notices: Receiver) -> None:
        shop.fault("notify", "contradict_webhook", fields={"total_amount": "0.01", "seller_id": "2088"})
        shop.paid()
        (notice,) = sent(shop, notices)
        assert is_signed(shop, notice)
        assert (notice["total_amount"], notice["seller_id"]) == ("0.01", "2088")

    def test_repeated_after_it_was_acknowledged(self, shop: Shop, notices: Receiver) -> None:
        shop.paid()
        (notice,) = sent(shop, notices)
        shop.control("POST", "notices/repeat", notify_id=notice["notify_id"])
        assert len(sent(shop, notices)) == 2
