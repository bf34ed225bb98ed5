"""The customer pays, declines or leaves, by QR code, by H5 and on a shop's page in WeChat."""

import base64
import time
import urllib.parse
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from wechatpayv3.type import WeChatPayType

from tests.channels.wechat_sandbox.conftest import Scene
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID, key_of

SCENE_INFO = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}


def act(url: str, action: str) -> requests.Response:
    return requests.post(url, data={"action": action}, timeout=60)


def get(url: str, **query: Any) -> requests.Response:
    return requests.get(url, params=query, timeout=60)


def test_the_code_leads_to_the_page_on_which_one_pays(scene: Scene) -> None:
    """weixin://wxpay/bizpayurl?pr=TOKEN is /pay/TOKEN; the sandbox's own phone scans it."""
    code_url = scene.prepay(description="<茶>", total=1234)[1]["code_url"]
    page = get(scene.sandbox.url, code_url=code_url)
    assert page.url == f"{scene.sandbox.url}/pay/{code_url.rpartition('=')[2]}"
    assert "¥12.34" in page.text
    assert "&lt;茶&gt;" in page.text
    assert "立即支付 Pay with WeChat" in page.text
    assert "支付成功" in act(page.url, "pay").text
    assert scene.query()[1]["trade_state"] == "SUCCESS"
    assert act(page.url, "pay").status_code == 409
    assert "该订单已支付" in get(page.url).text


@pytest.mark.parametrize("action", ["decline", "later", "nonsense", ""])
def test_the_order_stays_open(scene: Scene, action: str) -> None:
    code_url = scene.prepay()[1]["code_url"]
    page = f"{scene.sandbox.url}/pay/{code_url.rpartition('=')[2]}"
    act(page, action)
    assert scene.query()[1]["trade_state"] == "NOTPAY"
    assert "支付成功" in act(page, "pay").text


def test_a_code_can_be_a_web_address(scene: Scene) -> None:
    scene.bank.has_web_links = True
    code_url = scene.prepay()[1]["code_url"]
    assert code_url.startswith(f"{scene.sandbox.url}/pay/")
    assert "支付成功" in act(code_url, "pay").text
    assert get(scene.sandbox.url, code_url=code_url).url == code_url


def test_an_expired_code(scene: Scene) -> None:
    code_url = scene.prepay()[1]["code_url"]
    page = f"{scene.sandbox.url}/pay/{code_url.rpartition('=')[2]}"
    scene.run(seconds=7201)
    assert "二维码或链接已失效" in get(page).text
    assert act(page, "pay").status_code == 409


def test_h5_leads_back_to_the_shop(scene: Scene) -> None:
    h5_url = scene.prepay(pay_type=WeChatPayType.H5, scene_info=SCENE_INFO)[1]["h5_url"]
    back = urllib.parse.quote("https://shop.example/done?a=1", safe="")
    assert get(f"{h5_url}&redirect_url={back}").status_code == 200
    paid = act(f"{h5_url}&redirect_url={back}", "pay")
    assert 'href="https://shop.example/done?a=1"' in paid.text
    assert scene.query()[1]["trade_type"] == "MWEB"
    assert "href" not in act(f"{h5_url}&redirect_url=javascript:alert(1)", "later").text


def bridge_call(scene: Scene, signer: str = FIRST_MCHID, **changes: str) -> dict[str, str]:
    answer = scene.prepay(pay_type=WeChatPayType.JSAPI, payer={"openid": "oABC"})[1]
    values = {
        "appId": scene.merchant.appid,
        "timeStamp": str(int(time.time())),
        "nonceStr": "abc",
        "package": f"prepay_id={answer['prepay_id']}",
    } | changes
    message = "".join(f"{value}\n" for value in values.values()).encode()
    signature = key_of(signer).sign(message, PKCS1v15(), SHA256())
    return {**values, "signType": "RSA", "paySign": base64.b64encode(signature).decode()}


def test_a_shop_in_wechat_pays_with_signed_parameters(scene: Scene) -> None:
    page = get(f"{scene.sandbox.url}/bridge", **bridge_call(scene))
    assert page.status_code == 200
    assert "支付成功" in act(page.url, "pay").text
    assert scene.query()[1]["payer"] == {"openid": "oABC"}


def test_the_sdk_signs_the_parameters_of_the_bridge(scene: Scene) -> None:
    values = bridge_call(scene)
    names = ("appId", "timeStamp", "nonceStr", "package")
    values["paySign"] = scene.sdk.sign([values[name] for name in names])
    assert get(f"{scene.sandbox.url}/bridge", **values).status_code == 200


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"signer": SECOND_MCHID}, {}),
        ({}, {"nonceStr": "other"}),
        ({}, {"paySign": ""}),
        ({}, {"signType": "MD5"}),
        ({"package": "prepay_id=wx1"}, {}),
        ({"appId": "wx1"}, {}),
    ],
)
def test_wechat_refuses_other_parameters(
    scene: Scene, options: dict[str, str], changes: dict[str, str]
) -> None:
    answer = get(f"{scene.sandbox.url}/bridge", **(bridge_call(scene, **options) | changes))
    assert answer.status_code == 400
    assert scene.query()[1]["trade_state"] == "NOTPAY"


def test_the_phone_lists_open_orders(scene: Scene) -> None:
    scene.prepay()
    scene.paid("order-0002")
    page = get(scene.sandbox.url).text
    assert "order-0001" in page
    assert "order-0002" not in page


def test_odd_addresses(scene: Scene) -> None:
    for path in (
        "/pay/",
        "/pay/nothing",
        "/pay/%00",
        "/cgi-bin/mmpayweb-bin/checkmweb",
        "/favicon.ico",
        "/bridge/",
    ):
        assert get(scene.sandbox.url + path).status_code == 404
    assert "无法识别" in get(scene.sandbox.url, code_url="https://example.com/x").text
    assert get(scene.sandbox.url, code_url="[").status_code == 200
