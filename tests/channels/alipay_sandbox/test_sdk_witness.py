"""Alipay's own SDK against the sandbox: the sandbox accepts its signatures, and it verifies those of the sandbox."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.exception.Exception import ResponseException
from alipay.aop.api.request.AlipayDataDataserviceBillDownloadurlQueryRequest import (
    AlipayDataDataserviceBillDownloadurlQueryRequest,
)
from alipay.aop.api.request.AlipayTradeCloseRequest import AlipayTradeCloseRequest
from alipay.aop.api.request.AlipayTradeFastpayRefundQueryRequest import AlipayTradeFastpayRefundQueryRequest
from alipay.aop.api.request.AlipayTradePagePayRequest import AlipayTradePagePayRequest
from alipay.aop.api.request.AlipayTradePrecreateRequest import AlipayTradePrecreateRequest
from alipay.aop.api.request.AlipayTradeQueryRequest import AlipayTradeQueryRequest
from alipay.aop.api.request.AlipayTradeRefundRequest import AlipayTradeRefundRequest
from alipay.aop.api.response.AlipayDataDataserviceBillDownloadurlQueryResponse import (
    AlipayDataDataserviceBillDownloadurlQueryResponse,
)
from alipay.aop.api.response.AlipayTradeCloseResponse import AlipayTradeCloseResponse
from alipay.aop.api.response.AlipayTradeFastpayRefundQueryResponse import (
    AlipayTradeFastpayRefundQueryResponse,
)
from alipay.aop.api.response.AlipayTradePrecreateResponse import AlipayTradePrecreateResponse
from alipay.aop.api.response.AlipayTradeQueryResponse import AlipayTradeQueryResponse
from alipay.aop.api.response.AlipayTradeRefundResponse import AlipayTradeRefundResponse
from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa
from rsa import VerificationError

from tests.channels.alipay_sandbox.shop import PAGE, Receiver, Shop


def call(sdk: DefaultAlipayClient, request: Any, response: Any, content: dict[str, Any]) -> Any:
    request.biz_content = content
    response.parse_response_content(sdk.execute(request))
    return response


def is_signed(shop: Shop, fields: dict[str, str]) -> bool:
    """Verifies a notice as rsaCheckV1 of Alipay's other SDKs does: sign and sign_type are left out."""
    content = get_sign_content(
        {name: value for name, value in fields.items() if name not in ("sign", "sign_type")}
    )
    try:
        return verify_with_rsa(shop.keys.alipay_public, content.encode(), fields["sign"])
    except VerificationError:
        return False


def test_precreate_query_refund_and_its_query(sdk: DefaultAlipayClient, shop: Shop) -> None:
    number = shop.new_number()
    offered = call(
        sdk,
        AlipayTradePrecreateRequest(),
        AlipayTradePrecreateResponse(),
        {"out_trade_no": number, "total_amount": "88.88", "subject": "咖啡 Coffee"},
    )
    assert offered.is_success()
    assert offered.qr_code.startswith(
        f"{shop.sandbox.base_url}/qr/"
    )  # the slashes were escaped in the signed text

    unscanned = call(sdk, AlipayTradeQueryRequest(), AlipayTradeQueryResponse(), {"out_trade_no": number})
    assert not unscanned.is_success()
    assert (unscanned.code, unscanned.sub_code) == ("40004", "ACQ.TRADE_NOT_EXIST")

    shop.http.get(offered.qr_code, timeout=60)
    scanned = call(sdk, AlipayTradeQueryRequest(), AlipayTradeQueryResponse(), {"out_trade_no": number})
    assert (scanned.trade_status, scanned.buyer_pay_amount) == ("WAIT_BUYER_PAY", "0.00")

    shop.http.post(offered.qr_code.replace("/qr/", "/cashier/"), data={"action": "pay"}, timeout=60)
    paid = call(sdk, AlipayTradeQueryRequest(), AlipayTradeQueryResponse(), {"trade_no": scanned.trade_no})
    assert (paid.trade_status, paid.total_amount, paid.receipt_amount) == ("TRADE_SUCCESS", "88.88", "88.88")

    refunded = call(
        sdk,
        AlipayTradeRefundRequest(),
        AlipayTradeRefundResponse(),
        {"out_trade_no": number, "refund_amount": "8.88", "out_request_no": "R1"},
    )
    assert (refunded.fund_change, refunded.refund_fee) == ("Y", "8.88")
    found = call(
        sdk,
        AlipayTradeFastpayRefundQueryRequest(),
        AlipayTradeFastpayRefundQueryResponse(),
        {"out_trade_no": number, "out_request_no": "R1"},
    )
    assert (found.refund_status, found.refund_amount, found.total_amount) == (
        "REFUND_SUCCESS",
        "8.88",
        "88.88",
    )


def test_close(sdk: DefaultAlipayClient, shop: Shop) -> None:
    number = shop.precreate()
    shop.control("POST", "open", app_id=shop.app_id, out_trade_no=number)
    closed = call(sdk, AlipayTradeCloseRequest(), AlipayTradeCloseResponse(), {"out_trade_no": number})
    assert closed.is_success()
    assert closed.out_trade_no == number
    again = call(sdk, AlipayTradeCloseRequest(), AlipayTradeCloseResponse(), {"out_trade_no": number})
    assert again.sub_code == "ACQ.TRADE_STATUS_ERROR"


@pytest.mark.parametrize("http_method", ["POST", "GET"])
def test_page_pay(sdk: DefaultAlipayClient, shop: Shop, notices: Receiver, http_method: str) -> None:
    """A signed form or link that the SDK made: the customer opens it, logs in, pays, and comes back."""
    number = shop.new_number()
    request = AlipayTradePagePayRequest()
    request.biz_content = {
        "out_trade_no": number,
        "total_amount": "1.01",
        "subject": "茶 “quoted” Tea",
        **PAGE,
    }
    request.notify_url, request.return_url = shop.notify_url, "https://shop.example/done?order=7"
    page = sdk.page_execute(request, http_method)
    if http_method == "GET":
        cashier = shop.http.get(page, timeout=60)
    else:
        (address,) = re.findall(r'action="([^"]+)"', page)
        fields = {
            name: unescape(value) for name, value in re.findall(r'name="(biz_content)" value="([^"]*)"', page)
        }
        cashier = shop.http.post(address, data=fields, timeout=60)
    assert "茶 “quoted” Tea" in unescape(cashier.text)
    assert shop.query(number)["sub_code"] == "ACQ.TRADE_NOT_EXIST"  # the page alone makes no trade

    shop.http.post(cashier.url, data={"action": "login"}, timeout=60)
    assert shop.query(number)["trade_status"] == "WAIT_BUYER_PAY"
    back = shop.http.post(cashier.url, data={"action": "pay"}, timeout=60, allow_redirects=False)
    assert shop.query(number)["trade_status"] == "TRADE_SUCCESS"

    fields = dict(parse_qsl(urlsplit(back.headers["Location"]).query))
    assert fields.pop("order") == "7"
    assert fields["method"] == "alipay.trade.page.pay.return"
    assert is_signed(shop, fields)
    shop.sandbox.sender.send_due()
    (notice,) = notices.notices_at(shop.notify_url)
    assert is_signed(shop, notice)
    assert not is_signed(shop, {**notice, "total_amount": "0.01"})
    assert (notice["trade_status"], notice["total_amount"]) == ("TRADE_SUCCESS", "1.01")
    assert (notice["app_id"], notice["seller_id"], notice["out_trade_no"]) == (
        shop.app_id,
        shop.seller_id,
        number,
    )


def test_bill(sdk: DefaultAlipayClient, shop: Shop) -> None:
    shop.paid()
    today = shop.sandbox.bank.clock.now().strftime("%Y-%m-%d")
    shop.wait(days=1, hours=10)
    bill = call(
        sdk,
        AlipayDataDataserviceBillDownloadurlQueryRequest(),
        AlipayDataDataserviceBillDownloadurlQueryResponse(),
        {"bill_type": "trade", "bill_date": today},
    )
    assert shop.http.get(bill.bill_download_url, timeout=60).content.startswith(b"PK")


def test_the_sdk_refuses_an_answer_with_a_wrong_signature(sdk: DefaultAlipayClient, shop: Shop) -> None:
    shop.fault("query", "bad_signature")
    request = AlipayTradeQueryRequest()
    request.biz_content = {"out_trade_no": "1"}
    with pytest.raises(ResponseException, match="verify failed"):
        sdk.execute(request)
