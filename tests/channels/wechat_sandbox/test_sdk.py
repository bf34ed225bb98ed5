"""The SDK `wechatpayv3` as a second witness: other people wrote it from WeChat Pay's documentation."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest
from wechatpayv3.type import WeChatPayType

from channels.wechat.sandbox import operations
from channels.wechat.sandbox.merchants import SigningMode
from tests.channels.wechat_sandbox.conftest import Scene, parsed
from tests.support.wechat_sandbox import FIRST_MCHID


def test_the_sdk_pays_refunds_and_reads_what_happened(scene: Scene) -> None:
    status, answer = scene.prepay(attach="留言")
    assert (status, list(answer)) == (200, ["code_url"])
    assert re.fullmatch(r"weixin://wxpay/bizpayurl\?pr=[0-9A-Za-z]{9}", answer["code_url"])
    assert scene.query()[1] == {
        "appid": scene.merchant.appid,
        "mchid": FIRST_MCHID,
        "out_trade_no": "order-0001",
        "trade_state": "NOTPAY",
        "trade_state_desc": "订单未支付",
    }
    transaction_id = operations.pay(scene.bank, FIRST_MCHID, "order-0001")
    assert re.fullmatch(r"42000\d{23}", transaction_id)
    order = scene.query()[1]
    assert parsed(scene.sdk.query(transaction_id=transaction_id))[1] == order
    assert (order["trade_state"], order["trade_type"], order["bank_type"]) == ("SUCCESS", "NATIVE", "OTHERS")
    assert order["amount"] == {"total": 1000, "payer_total": 1000, "currency": "CNY", "payer_currency": "CNY"}
    assert order["success_time"].endswith("+08:00")
    assert order["attach"] == "留言"
    status, refund = scene.refund()
    assert (status, refund["status"], refund["amount"]["refund"]) == (200, "PROCESSING", 100)
    assert "success_time" not in refund
    scene.run(seconds=2)
    refund = parsed(scene.sdk.query_refund(out_refund_no="refund-1"))[1]
    assert (refund["status"], refund["transaction_id"]) == ("SUCCESS", transaction_id)
    assert scene.query()[1]["trade_state"] == "REFUND"


def test_the_sdk_decrypts_what_the_callbacks_bring(scene: Scene) -> None:
    transaction_id = scene.paid()
    scene.refund(notify_url="http://shop.example/refunds")
    scene.run(seconds=2)
    payment, refund = scene.notices()
    assert payment is not None
    assert refund is not None
    assert (payment["event_type"], payment["resource_type"], payment["summary"]) == (
        "TRANSACTION.SUCCESS",
        "encrypt-resource",
        "支付成功",
    )
    assert payment["resource"]["transaction_id"] == transaction_id
    assert payment["resource"]["trade_state"] == "SUCCESS"
    assert (refund["event_type"], refund["resource"]["refund_status"]) == ("REFUND.SUCCESS", "SUCCESS")
    assert refund["resource"]["amount"] == {
        "total": 1000,
        "refund": 100,
        "payer_total": 1000,
        "payer_refund": 100,
    }
    assert [url for url, _headers, _body in scene.shop.received] == [
        "http://127.0.0.1:9/notify",
        "http://shop.example/refunds",
    ]


def test_the_sdk_closes(scene: Scene) -> None:
    scene.prepay()
    assert scene.sdk.close(out_trade_no="order-0001")[0] == 204
    assert scene.query()[1]["trade_state"] == "CLOSED"
    status, answer = parsed(scene.sdk.close(out_trade_no="order-0001"))
    assert (status, answer["code"]) == (400, "ORDER_CLOSED")


@pytest.mark.parametrize("tar_type", ["GZIP", ""])
def test_the_sdk_downloads_a_bill(scene: Scene, tar_type: str) -> None:
    scene.paid()
    day = scene.query()[1]["success_time"][:10]
    scene.run(seconds=2 * 86400)
    status, bill = parsed(scene.sdk.trade_bill(bill_date=day, tar_type=tar_type))
    assert (status, bill["hash_type"]) == (200, "SHA1")
    status, content = scene.sdk.download_bill(bill["download_url"])
    content = gzip.decompress(content) if tar_type else content
    assert (status, hashlib.sha1(content).hexdigest()) == (200, bill["hash_value"])
    assert b",`order-0001,`" in content


def test_jsapi_and_h5(scene: Scene) -> None:
    status, answer = scene.prepay("order-jsapi", pay_type=WeChatPayType.JSAPI, payer={"openid": "oABC"})
    assert status == 200
    assert re.fullmatch(r"wx\d{14}[0-9a-f]{20}", answer["prepay_id"])
    info = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    status, answer = scene.prepay("order-h5", pay_type=WeChatPayType.H5, scene_info=info)
    assert status == 200
    assert answer["h5_url"].startswith(f"{scene.sandbox.url}/cgi-bin/mmpayweb-bin/checkmweb?prepay_id=wx")


@pytest.mark.parametrize("mode", [SigningMode.CERTIFICATE, SigningMode.SWITCHING])
def test_the_sdk_loads_certificates_and_verifies_with_them(
    scene: Scene, tmp_path: Path, mode: SigningMode
) -> None:
    scene.merchant.signing_mode = mode
    scene.merchant.callback_public_key_percent = 0
    scene.sdk = scene.sandbox.sdk(certificates=tmp_path)
    scene.sdk._core._certificates.clear()  # so that it fetches and decrypts /v3/certificates
    scene.paid()
    scene.run()
    assert [certificate.serial_number for certificate in scene.sdk._core._certificates] == [
        scene.bank.platform.certificate.serial_number
    ]
    (payment,) = scene.notices()
    assert payment is not None
    assert payment["resource"]["out_trade_no"] == "order-0001"


def test_while_switching_both_keys_are_used(scene: Scene) -> None:
    """Answers follow the request's header; callbacks do not."""
    scene.merchant.signing_mode = SigningMode.SWITCHING
    for percent in (0, 100):
        scene.merchant.callback_public_key_percent = percent
        scene.paid(f"order-{percent:04}")  # the SDK names the public key and verifies with it
        scene.run()
    serials = {headers["Wechatpay-Serial"] for _url, headers, _body in scene.shop.received}
    assert serials == {scene.merchant.public_key_id, scene.bank.platform.certificate_serial}


def test_a_merchant_with_only_the_public_key_gets_no_certificates(scene: Scene) -> None:
    status, answer = parsed(scene.sdk._core.request("/v3/certificates", skip_verify=True))
    assert (status, answer["code"]) == (404, "RESOURCE_NOT_EXISTS")
