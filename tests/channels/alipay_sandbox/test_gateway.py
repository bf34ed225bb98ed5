"""The error codes of the gateway, in the order of its checks: common/02km9f."""

import json
from typing import Any

import pytest

from tests.channels.alipay_sandbox.shop import Shop

QUERY = "alipay.trade.query"


def refusal(shop: Shop, **changes: str) -> tuple[str, str]:
    """Changes the common parameters before they are signed; an empty one is left out."""
    fields = shop.sign(QUERY, {"out_trade_no": "1"}, **changes)
    body = shop.post({name: value for name, value in fields.items() if value}).content
    answer = shop.read(body, fields["method"] if fields["method"] == QUERY else "error")
    return answer["code"], answer["sub_code"]


@pytest.mark.parametrize(
    ("changes", "code", "sub_code"),
    [
        ({"method": ""}, "40001", "isv.missing-method"),
        ({"sign_type": ""}, "40001", "isv.missing-signature-type"),
        ({"timestamp": ""}, "40001", "isv.missing-timestamp"),
        ({"version": ""}, "40001", "isv.missing-version"),
        ({"method": "alipay.trade.everything"}, "40002", "isv.invalid-method"),
        ({"sign_type": "RSA"}, "40002", "isv.invalid-signature-type"),
        ({"timestamp": "2026-11-28T10:00:00Z"}, "40002", "isv.invalid-timestamp"),
        ({"format": "XML"}, "40002", "isv.invalid-format"),
        ({"app_auth_token": "201510BB"}, "20001", "aop.invalid-app-auth-token"),
    ],
)
def test_common_parameters(shop: Shop, changes: dict[str, str], code: str, sub_code: str) -> None:
    assert refusal(shop, **changes) == (code, sub_code)


@pytest.mark.parametrize(
    "content", ['{"out_trade_no":', '["1"]', "[" * 100_000, '{"out_trade_no":"\\ud800"}']
)
def test_content_that_is_no_json_object(shop: Shop, content: str) -> None:
    answer = shop.call(QUERY, content)
    assert answer["sub_code"] in ("isv.invalid-parameter", "ACQ.INVALID_PARAMETER")


def test_an_unsigned_request_is_refused(shop: Shop) -> None:
    fields = shop.sign(QUERY, {"out_trade_no": "1"})
    del fields["sign"]
    answer = shop.read(shop.post(fields).content, QUERY)
    assert (answer["code"], answer["sub_code"]) == ("40001", "isv.missing-signature")


@pytest.mark.parametrize(
    "change",
    [
        {"biz_content": '{"out_trade_no": "2"}'},
        {"timestamp": "2026-11-28 10:00:01"},
        {"notify_url": "https://thief.example/"},
        {"sign": "AAAA"},
        {"sign": "not base64!"},
    ],
)
def test_a_tampered_request_is_refused(shop: Shop, change: dict[str, str]) -> None:
    answer = shop.read(shop.post({**shop.sign(QUERY, {"out_trade_no": "1"}), **change}).content, QUERY)
    assert (answer["code"], answer["sub_code"]) == ("40002", "isv.invalid-signature")


def test_an_unknown_app_is_refused_before_its_signature_and_without_one(shop: Shop) -> None:
    body = shop.post({**shop.sign(QUERY, {}), "app_id": "2021999999999999", "sign": ""}).json()
    assert body["alipay_trade_query_response"]["sub_code"] == "isv.invalid-app-id"
    assert "sign" not in body


def test_one_app_cannot_sign_for_another(shop: Shop, keys: Any) -> None:
    """Each app has its own key: here the other app's key is Alipay's."""
    shop.control(
        "POST",
        "apps",
        app_id=f"9{shop.app_id[1:]}",
        app_public_key=keys.alipay_public,
        alipay_private_key=keys.alipay_private,
    )
    answer = shop.call(QUERY, {"out_trade_no": "1"}, app_id=f"9{shop.app_id[1:]}")
    assert answer["sub_code"] == "isv.invalid-signature"


def test_a_product_that_the_app_has_not_signed(shop: Shop, keys: Any) -> None:
    app_id = f"8{shop.app_id[1:]}"
    fields = {"app_public_key": keys.app_public, "alipay_private_key": keys.alipay_private}
    shop.control("POST", "apps", app_id=app_id, products=["FAST_INSTANT_TRADE_PAY"], **fields)
    answer = shop.call("alipay.trade.precreate", {}, app_id=app_id)
    assert (answer["code"], answer["sub_code"]) == ("40006", "isv.insufficient-isv-permissions")


def test_apps_do_not_see_each_others_trades(shop: Shop, keys: Any) -> None:
    number = shop.paid()
    other = f"7{shop.app_id[1:]}"
    fields = {"app_public_key": keys.app_public, "alipay_private_key": keys.alipay_private}
    shop.control("POST", "apps", app_id=other, **fields)
    assert shop.call(QUERY, {"out_trade_no": number}, app_id=other)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    trade_no = shop.query(number)["trade_no"]
    refund = {"trade_no": trade_no, "refund_amount": "1.00", "out_request_no": "1"}
    assert shop.call("alipay.trade.refund", refund, app_id=other)["sub_code"] == "ACQ.TRADE_NOT_EXIST"


@pytest.mark.parametrize("charset", ["utf-8", "GBK", "gb2312"])
def test_requests_and_answers_are_in_the_charset_of_the_request(shop: Shop, charset: str) -> None:
    content = {"out_trade_no": shop.new_number(), "total_amount": "1.00", "subject": "咖啡"}
    answer = shop.post(shop.sign("alipay.trade.precreate", content, charset=charset))
    assert answer.headers["Content-Type"] == f"text/html;charset={charset.lower()}"
    assert json.loads(answer.content.decode(charset))["alipay_trade_precreate_response"]["code"] == "10000"
    refused = shop.post(shop.sign(QUERY, {"out_trade_no": "1"}, charset=charset))
    assert "交易不存在" in refused.content.decode(charset)


def test_parameters_may_all_be_in_the_body(shop: Shop) -> None:
    body = shop.http.post(
        shop.sandbox.gateway_url, data=shop.sign(QUERY, {"out_trade_no": "1"}), timeout=60
    ).content
    assert shop.read(body, QUERY)["sub_code"] == "ACQ.TRADE_NOT_EXIST"


def test_slashes_are_escaped_in_the_signed_text(shop: Shop) -> None:
    content = {"out_trade_no": shop.new_number(), "total_amount": "1.00", "subject": "1"}
    assert b'"qr_code":"http:\\/\\/' in shop.post(shop.sign("alipay.trade.precreate", content)).content
