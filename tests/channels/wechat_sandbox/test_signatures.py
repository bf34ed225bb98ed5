"""Requests without a signature as documented are refused."""

import base64
import json
import time
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from channels.wechat.sandbox import reading
from tests.channels.wechat_sandbox.conftest import Scene
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID, key_of

PREPAY = "/v3/pay/transactions/native"


def order(scene: Scene, number: str = "order-0001", **changes: Any) -> bytes:
    body = {
        "appid": scene.merchant.appid,
        "mchid": FIRST_MCHID,
        "description": "茶",
        "out_trade_no": number,
        "notify_url": "http://127.0.0.1:9/notify",
        "amount": {"total": 100},
    }
    return json.dumps(body | changes).encode()


def call(
    scene: Scene,
    path: str,
    body: bytes = b"",
    *,
    method: str = "POST",
    signed_path: str | None = None,
    signed_body: bytes | None = None,
    timestamp: int | None = None,
    seconds_off: int = 0,
    mchid: str = FIRST_MCHID,
    serial: str | None = None,
    signer: str | None = None,
    authorization: str | None = None,
    headers: dict[str, str] | None = None,
) -> requests.Response:
    """Sends a call that is signed as documented, except for the changes of the arguments."""
    at, nonce = int(time.time()) + seconds_off if timestamp is None else timestamp, "0123456789abcdef"
    signed = body if signed_body is None else signed_body
    message = f"{method}\n{signed_path or path}\n{at}\n{nonce}\n".encode() + signed + b"\n"
    signature = base64.b64encode(key_of(signer or mchid).sign(message, PKCS1v15(), SHA256())).decode()
    if serial is None:
        serial = scene.sandbox.identities[mchid].merchant.certificate_serial
    if authorization is None:
        authorization = (
            f'WECHATPAY2-SHA256-RSA2048 mchid="{mchid}",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{at}",serial_no="{serial}"'
        )
    sent = {"Authorization": authorization, "Accept": "application/json", **(headers or {})}
    return requests.request(method, scene.sandbox.url + path, data=body, headers=sent, timeout=60)


def test_a_signed_request_is_answered_with_a_signature(scene: Scene) -> None:
    answer = call(scene, PREPAY, order(scene))
    assert answer.status_code == 200
    headers = answer.headers
    message = (
        f"{headers['Wechatpay-Timestamp']}\n{headers['Wechatpay-Nonce']}\n".encode() + answer.content + b"\n"
    )
    signature = base64.b64decode(headers["Wechatpay-Signature"])
    key_of("platform public key").public_key().verify(signature, message, PKCS1v15(), SHA256())
    assert headers["Wechatpay-Serial"] == scene.merchant.public_key_id
    assert headers["Wechatpay-Signature-Type"] == "WECHATPAY2-SHA256-RSA2048"
    assert abs(int(headers["Wechatpay-Timestamp"]) - time.time()) < 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"authorization": ""}, "HTTP头Authorization值格式错误"),
        ({"authorization": "WECHATPAY2-SHA256-RSA2048 mchid=1900000109"}, "HTTP头Authorization值格式错误"),
        ({"authorization": 'WECHATPAY2-SHA256-RSA2048 mchid="1900000109"'}, "HTTP头Authorization值格式错误"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, "HTTP头Authorization认证类型不正确"),
        (
            {"seconds_off": -400},
            "HTTP头Authorization中的timestamp与发起请求的时间不得超过5分钟",
        ),
        (
            {"seconds_off": 400},
            "HTTP头Authorization中的timestamp与发起请求的时间不得超过5分钟",
        ),
        ({"timestamp": 10**15}, "HTTP头Authorization值格式错误"),
        ({"serial": "A" * 40}, "商户证书序列号有误。"),
        ({"mchid": SECOND_MCHID, "serial": "40" + FIRST_MCHID.zfill(38)}, "商户证书序列号有误。"),
        ({"signer": SECOND_MCHID}, "错误的签名，导致验签失败。"),
        ({"signed_body": b"{}"}, "错误的签名，导致验签失败。"),
        ({"signed_path": PREPAY + "?a=1"}, "错误的签名，导致验签失败。"),
        ({"path": PREPAY + "?a=1", "signed_path": PREPAY}, "错误的签名，导致验签失败。"),
    ],
)
def test_a_request_that_is_not_well_signed_is_refused(
    scene: Scene, changes: dict[str, Any], message: str
) -> None:
    answer = call(scene, changes.pop("path", PREPAY), order(scene), **changes)
    assert (answer.status_code, answer.json()["code"], answer.json()["message"]) == (
        401,
        "SIGN_ERROR",
        message,
    )
    assert "Wechatpay-Signature" not in answer.headers
    assert not reading.read_books(scene.bank.books).orders


def test_an_unknown_merchant_is_refused(scene: Scene) -> None:
    values = 'mchid="1999999999",nonce_str="a",signature="YQ==",timestamp="1",serial_no="A"'
    authorization = f"WECHATPAY2-SHA256-RSA2048 {values}"
    answer = call(scene, PREPAY, order(scene), authorization=authorization)
    assert (answer.status_code, answer.json()["message"]) == (401, "商户未申请过证书。")


def test_the_detail_of_a_wrong_signature_shows_what_was_signed(scene: Scene) -> None:
    detail = call(scene, PREPAY, order(scene), signer=SECOND_MCHID).json()["detail"]
    assert (detail["field"], detail["location"], detail["detail"]) == (
        "signature",
        "authorization",
        {"issue": "sign not match"},
    )
    information = detail["sign_information"]
    assert (information["method"], information["url"]) == ("POST", PREPAY)
    assert information["truncated_sign_message"].endswith('\n{"appid"\n')


def test_a_merchant_cannot_act_for_another(scene: Scene) -> None:
    scene.paid()
    answer = call(scene, PREPAY, order(scene, "order-0002"), mchid=SECOND_MCHID)
    assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
    path = f"/v3/pay/transactions/out-trade-no/order-0001?mchid={FIRST_MCHID}"
    answer = call(scene, path, method="GET", mchid=SECOND_MCHID)
    assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
    path = f"/v3/pay/transactions/out-trade-no/order-0001?mchid={SECOND_MCHID}"
    answer = call(scene, path, method="GET", mchid=SECOND_MCHID)
    assert (answer.status_code, answer.json()["code"]) == (404, "ORDER_NOT_EXIST")


def test_errors_after_the_verification_are_signed(scene: Scene) -> None:
    answer = call(scene, "/v3/refund/domestic/refunds/nothing", method="GET")
    assert (answer.status_code, answer.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")
    assert answer.headers["Wechatpay-Serial"] == scene.merchant.public_key_id


def test_headers_that_a_request_needs(scene: Scene) -> None:
    answer = call(scene, PREPAY, order(scene), headers={"Accept": ""})
    assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
    answer = call(scene, PREPAY, order(scene), headers={"Wechatpay-Serial": "PUB_KEY_ID_01999"})
    assert (answer.status_code, answer.json()["message"]) == (400, "平台证书序列号Wechatpay-Serial错误")


def test_unknown_addresses_and_odd_bodies_are_no_server_errors(scene: Scene) -> None:
    assert call(scene, "/v3/nothing").status_code == 404
    assert call(scene, PREPAY, method="GET").status_code == 404
    for body in (
        b"",
        b"[]",
        b"{",
        b"\xff",
        b'{"a": NaN}',
        b"[" * 5000,
        b'"text"',
        b"null",
        b'{"a": "\\ud800"}',
    ):
        answer = call(scene, PREPAY, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR"), body
    answer = call(scene, PREPAY, order(scene, amount={"total": float("inf")}).replace(b"Infinity", b"1e999"))
    assert (answer.status_code, answer.json()["detail"]["field"]) == (400, "amount/total")
    answer = requests.post(scene.sandbox.url + PREPAY, data=b" " * (2 << 20), timeout=60)
    assert answer.status_code == 413


def test_a_number_in_the_path_may_be_escaped(scene: Scene) -> None:
    assert call(scene, PREPAY, order(scene, "A_-|*09")).status_code == 200
    path = f"/v3/pay/transactions/out-trade-no/A_-%7C%2A09?mchid={FIRST_MCHID}"
    assert call(scene, path, method="GET").json()["out_trade_no"] == "A_-|*09"
