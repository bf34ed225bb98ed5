"""The customer's pages: they are opened, paid, declined and left, in Chinese with English."""

import re
from html import unescape

import pytest
import requests

from tests.channels.alipay_sandbox.shop import Shop

PAGES = ("alipay.trade.page.pay", "alipay.trade.wap.pay")


def click(shop: Shop, page: requests.Response, action: str) -> requests.Response:
    """Presses a button of the page."""
    assert f"value={action} " in page.text
    (address,) = re.findall(r"action='([^']+)'", page.text)
    return shop.http.post(
        shop.sandbox.base_url + address, data={"action": action}, timeout=60, allow_redirects=False
    )


def number_of(page: dict[str, str]) -> str:
    return re.findall(r'"out_trade_no": "(\w+)"', page["biz_content"])[0]


@pytest.mark.parametrize("method", PAGES)
def test_login_and_pay(shop: Shop, method: str) -> None:
    signed = shop.page(method)
    cashier = shop.open_page(signed)
    assert "支付宝收银台" in cashier.text
    assert "Alipay cashier" in cashier.text
    assert "¥88.88" in cashier.text
    assert shop.query(number_of(signed))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    open_page = click(shop, cashier, "login")
    assert shop.query(number_of(signed))["trade_status"] == "WAIT_BUYER_PAY"
    paid = click(shop, open_page, "pay")
    assert "付款成功" in paid.text
    assert shop.query(number_of(signed))["trade_status"] == "TRADE_SUCCESS"


def test_a_second_click_finds_the_order_paid(shop: Shop) -> None:
    signed = shop.page(return_url="https://shop.example/done")
    open_page = click(shop, shop.open_page(signed), "login")
    first, second = click(shop, open_page, "pay"), click(shop, open_page, "pay")
    assert first.headers["Location"] == second.headers["Location"]
    ledger = shop.control("GET", "ledger", seller_id=shop.seller_id)
    assert [entry["kind"] for entry in ledger["entries"]] == ["payment"]


def test_declined(shop: Shop) -> None:
    signed = shop.page()
    open_page = click(shop, shop.open_page(signed), "login")
    declined = click(shop, open_page, "decline")
    assert "余额不足" in declined.text
    assert shop.query(number_of(signed))["trade_status"] == "WAIT_BUYER_PAY"
    shop.fault("pay", "pay_declined")
    assert "余额不足" in click(shop, declined, "pay").text
    assert "付款成功" in click(shop, declined, "pay").text


def test_left(shop: Shop) -> None:
    signed = shop.page()
    assert "离开收银台" in click(shop, shop.open_page(signed), "leave").text
    assert shop.query(number_of(signed))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    wap = shop.page("alipay.trade.wap.pay", quit_url="https://shop.example/cart")
    assert click(shop, shop.open_page(wap), "leave").headers["Location"] == "https://shop.example/cart"


def test_the_link_of_a_code(shop: Shop) -> None:
    content = {"out_trade_no": shop.new_number(), "total_amount": "3.00", "subject": "<b>茶<b>"}
    link = shop.call("alipay.trade.precreate", content)["qr_code"]
    page = shop.http.get(link, timeout=60)
    assert "<b>茶<b>" not in page.text
    assert "<b>茶<b>" in unescape(page.text)
    assert shop.query(content["out_trade_no"])["trade_status"] == "WAIT_BUYER_PAY"
    assert "付款成功" in click(shop, page, "pay").text
    assert "TRADE_HAS_SUCCESS" in shop.http.get(link, timeout=60).text


@pytest.mark.parametrize("method", PAGES)
def test_a_tampered_page_is_refused(shop: Shop, method: str) -> None:
    signed = shop.page(method)
    signed["biz_content"] = signed["biz_content"].replace("88.88", "0.01")
    refused = shop.open_page(signed)
    assert refused.headers["Content-Type"] == "text/html;charset=gbk"
    assert "错误代码 invalid-signature" in refused.content.decode("gbk")
    assert "Location" not in refused.headers


def test_a_page_of_an_order_that_is_paid_or_closed(shop: Shop) -> None:
    signed = shop.page()
    paid = number_of(signed)
    shop.open_page(signed)
    shop.control("POST", "pay", app_id=shop.app_id, out_trade_no=paid)
    assert "TRADE_HAS_SUCCESS" in shop.open_page(signed).content.decode("gbk")
    shop.refund(paid, "88.88")
    assert "TRADE_HAS_CLOSE" in shop.open_page(signed).content.decode("gbk")


def test_a_signed_page_works_until_time_expire(shop: Shop) -> None:
    now = shop.sandbox.bank.clock.now()
    signed = shop.page(time_expire=f"{now.replace(year=now.year + 1):%Y-%m-%d %H:%M:%S}")
    shop.wait(days=300)
    assert "支付宝收银台" in shop.open_page(signed).text
    cashier = shop.open_page(signed)
    shop.wait(days=66)
    assert "NOW_TIME_AFTER_EXPIRE_TIME_ERROR" in shop.open_page(signed).content.decode("gbk")
    assert "NOW_TIME_AFTER_EXPIRE_TIME_ERROR" in click(shop, cashier, "login").text


@pytest.mark.parametrize("path", ["/cashier/unknown", "/qr/unknown"])
def test_unknown_pages(shop: Shop, path: str) -> None:
    assert "TRADE_NOT_EXIST" in shop.http.get(shop.sandbox.base_url + path, timeout=60).text


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://",
        "https://shop.example/\r\nSet-Cookie: a=b",
        "https://shop.example/谢谢",
    ],
)
def test_an_address_that_is_no_web_address(shop: Shop, address: str) -> None:
    refused = shop.open_page(shop.page(return_url=address))
    assert "return_url" in refused.content.decode("gbk")
    assert "Set-Cookie" not in refused.headers
