"""Alipay's own SDK verifies our signatures, and we verify the signatures of the SDK."""

import datetime as dt
import importlib
import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import rsa
from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.domain.AlipayTradePagePayModel import AlipayTradePagePayModel
from alipay.aop.api.domain.AlipayTradeWapPayModel import AlipayTradeWapPayModel
from alipay.aop.api.request.AlipayTradePagePayRequest import AlipayTradePagePayRequest
from alipay.aop.api.request.AlipayTradeWapPayRequest import AlipayTradeWapPayRequest
from alipay.aop.api.util.SignatureUtils import get_sign_content, sign_with_rsa2, verify_with_rsa

from channels.alipay import signing
from channels.alipay.answers import read_answer
from channels.alipay.channel import AlipayChannel
from channels.alipay.fields import BEIJING
from channels.base import FormAction, Reported, UnexpectedFormat, WebhookRefused, WebhookRequest
from tests.support.alipay.account import (
    ACCOUNT,
    APP_ID,
    KEYS,
    build_answer,
    build_notice,
    encode_notice,
    sign_as_alipay,
)
from tests.support.channels import build_creation

sdk_client = importlib.import_module(DefaultAlipayClient.__module__)

SIGNED_AT = dt.datetime(2026, 11, 28, 12, 34, 56, tzinfo=BEIJING)
QUERY = "alipay.trade.query"
RETURN_URL = "https://shop.example/thanks?a=1&b=2"
# The inner object holds a brace, an escaped slash and the text `"sign":` inside a value.
INNER = (
    r'{"code":"10000","msg":"Success","subject":"咖啡 } , \"sign\":\"x\" \/ 1","total_amount":"88.88",'
    r'"trade_status":"TRADE_SUCCESS"}'
)


@pytest.fixture(autouse=True)
def _production_gateway(settings: Any) -> None:
    settings.ALIPAY_GATEWAY_URL = "https://openapi.alipay.com/gateway.do"


class StandingClock(dt.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> "StandingClock":
        return cls(2026, 11, 28, 12, 34, 56)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> DefaultAlipayClient:
    """The SDK takes the machine's clock as that of Beijing. The test sets this clock to `SIGNED_AT`."""
    monkeypatch.setattr(sdk_client.datetime, "datetime", StandingClock)
    config = AlipayClientConfig()
    config.server_url = "https://openapi.alipay.com/gateway.do"
    config.app_id, config.format = APP_ID, "JSON"
    config.app_private_key = KEYS["application_private_key_pkcs1"]
    config.alipay_public_key = KEYS["alipay_public_key"]
    return DefaultAlipayClient(config)


def _sign_with_sdk(content: str) -> str:
    return sign_with_rsa2(KEYS["alipay_private_key_pkcs1"], content, "utf-8")


ANSWER = f'{{"alipay_trade_query_response":{INNER},"sign":"{_sign_with_sdk(INNER)}"}}'


def _create_page(method: str, **changes: Any) -> FormAction:
    request = replace(
        build_creation(),
        reference="PAY-20261128-000001",
        account=ACCOUNT,
        payment_method=method,
        amount_minor=8888,
        currency="CNY",
        subject='咖啡 "拿铁" + 100% <b>',
        description="两杯",
        return_url=RETURN_URL,
        started_at=SIGNED_AT,
        intended_at=SIGNED_AT,
        expires_in_seconds=1800,
    )
    answer = AlipayChannel().create_payment(replace(request, **changes))
    assert isinstance(answer, Reported)
    assert isinstance(answer.value.next_action, FormAction)
    return answer.value.next_action


def _create_page_with_sdk(client: DefaultAlipayClient, method: str) -> str:
    model: Any = AlipayTradePagePayModel() if method == "alipay_page" else AlipayTradeWapPayModel()
    model.out_trade_no, model.total_amount = "PAY_20261128_000001", "88.88"
    model.subject, model.body = '咖啡 "拿铁" + 100% <b>', "两杯"
    model.time_expire = "2026-11-28 13:04:56"
    model.product_code = "FAST_INSTANT_TRADE_PAY" if method == "alipay_page" else "QUICK_WAP_WAY"
    request_class: Any = AlipayTradePagePayRequest if method == "alipay_page" else AlipayTradeWapPayRequest
    request = request_class(biz_model=model)
    request.notify_url, request.return_url = ACCOUNT.webhook_url, RETURN_URL
    if method == "alipay_wap":
        model.quit_url = RETURN_URL
    return client.page_execute(request)


@pytest.mark.parametrize("method", ["alipay_page", "alipay_wap"])
def test_a_page_equals_that_of_alipays_sdk_field_by_field(method: str, sdk: DefaultAlipayClient) -> None:
    ours, theirs = _create_page(method), _create_page_with_sdk(sdk, method)
    action = re.search(r'action="([^"]*)"', theirs)
    content = re.search(r'name="biz_content" value="([^"]*)"', theirs)
    assert action is not None
    assert content is not None
    # The parameters include the signature: RSA2 gives the same signature for the same text.
    assert parse_qs(urlsplit(ours.url).query) == parse_qs(urlsplit(action[1]).query)
    assert ours.url.partition("?")[0] == action[1].partition("?")[0]
    assert ours.fields == {"biz_content": content[1].replace("&quot;", '"')}


@pytest.mark.parametrize("method", ["alipay_page", "alipay_wap"])
def test_alipays_sdk_verifies_our_pages(method: str) -> None:
    page = _create_page(method, subject="another page", return_url="")
    parameters = {**dict(parse_qsl(urlsplit(page.url).query)), **page.fields}
    signature = parameters.pop("sign")
    public_key, signed = KEYS["application_public_key"], get_sign_content(parameters)
    assert verify_with_rsa(public_key, signed.encode(), signature)
    with pytest.raises(rsa.VerificationError):
        verify_with_rsa(public_key, signed.replace("88.88", "88.89").encode(), signature)


def test_a_notice_that_alipays_sdk_signed_is_accepted() -> None:
    fields = build_notice(subject="a=b&c=d 中文 %41 +")
    del fields["sign"], fields["sign_type"]
    signed = {**fields, "sign": _sign_with_sdk(get_sign_content(fields)), "sign_type": "RSA2"}
    event = AlipayChannel().parse_webhook(ACCOUNT, WebhookRequest(encode_notice(signed), {}))
    assert event.event_id == fields["notify_id"]


def test_an_answer_that_alipays_sdk_signed_and_accepts_is_verified(sdk: DefaultAlipayClient) -> None:
    sdk_client.THREAD_LOCAL.uuid, sdk_client.THREAD_LOCAL.logger = "", None
    assert sdk._DefaultAlipayClient__parse_response(ANSWER.encode()) == INNER
    answer = read_answer(ANSWER.encode(), QUERY, (KEYS["alipay_public_key"],))
    assert answer.is_verified
    assert answer.fields["subject"] == '咖啡 } , "sign":"x" / 1'


@pytest.mark.parametrize(
    "change",
    [
        ('"88.88"', '"88.89"'),
        ('"TRADE_SUCCESS"', '"TRADE_FINISHED"'),
        ("\\/ 1", "/ 1"),  # the same JSON, other bytes
        ('"sign":"', '"sign":"A'),
        (',"sign":', ',"sign_of_another":'),
    ],
)
def test_a_changed_answer_is_not_verified(change: tuple[str, str]) -> None:
    before, after = change
    body = after.join(ANSWER.rsplit(before, 1))
    assert body != ANSWER
    assert not read_answer(body.encode(), QUERY, (KEYS["alipay_public_key"],)).is_verified


@pytest.mark.parametrize("key", ["application_private_key_pkcs1", "application_private_key_pkcs8"])
@pytest.mark.parametrize("is_pem", [True, False])
def test_private_keys_in_each_form_sign_alike(key: str, is_pem: bool) -> None:
    text = KEYS[key]
    if is_pem:
        kind = "RSA PRIVATE KEY" if key.endswith("pkcs1") else "PRIVATE KEY"
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        text = "\r\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----"])
    assert signing.sign({"a": "1"}, text) == signing.sign({"a": "1"}, KEYS["application_private_key_pkcs1"])


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", KEYS["alipay_public_key"], "密钥"])
def test_an_invalid_private_key_is_refused(text: str) -> None:
    with pytest.raises(signing.InvalidKey):
        signing.load_private_key(text)


def test_the_old_public_key_is_accepted_while_keys_are_rotated() -> None:
    rotated = replace(
        ACCOUNT,
        credentials={**ACCOUNT.credentials, "alipay_public_key": KEYS["application_public_key"]},
    )
    request = WebhookRequest(encode_notice(build_notice()), {})
    with pytest.raises(WebhookRefused):
        AlipayChannel().parse_webhook(rotated, request)
    both = replace(rotated, previous_credentials={"alipay_public_key": KEYS["alipay_public_key"]})
    assert AlipayChannel().parse_webhook(both, request).updates


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"sign":"a"}',
        b'{"alipay_trade_query_response":"a","sign":"a"}',
        b'{"alipay_trade_query_response":{"code":NaN},"sign":"a"}',
        b'{"alipay_trade_query_response":{"code":"10000"},"alipay_trade_query_response":{"code":"1"}}',
        b'{"alipay_trade_query_response":{"code":"10000"}} and more',
    ],
)
def test_a_malformed_answer_is_refused(body: bytes) -> None:
    with pytest.raises(UnexpectedFormat):
        read_answer(body, QUERY, (KEYS["alipay_public_key"],))


@pytest.mark.parametrize("signature", [None, "", 1, [], "€", "AAAA", sign_as_alipay("another text")])
def test_an_answer_with_another_signature_is_not_verified(signature: Any) -> None:

    body = json.dumps({"alipay_trade_query_response": {"code": "10000"}, "sign": signature}).encode()
    assert not read_answer(body, QUERY, (KEYS["alipay_public_key"],)).is_verified


def test_numbers_of_an_answer_are_not_floats() -> None:
    answer = read_answer(
        build_answer(QUERY, {"code": "10000", "total_amount": 0.1}), QUERY, (KEYS["alipay_public_key"],)
    )
    assert str(answer.fields["total_amount"]) == "0.1"
    assert not isinstance(answer.fields["total_amount"], float)
