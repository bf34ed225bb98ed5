"""Signatures and encryption of WeChat Pay: against the SDK `wechatpayv3`, and against published examples."""

import base64
import json
import re

import pytest
from cryptography import x509
from wechatpayv3 import WeChatPay, utils
from wechatpayv3.type import WeChatPayType

from channels.base import ChannelAccount
from channels.wechat import config, encryption, signing
from tests.support.wechat import keys

# A callback that WeChat Pay's own SDK for Go publishes in core/notify/notify_test.go. Its APIv3 key has 16 characters.
PUBLISHED_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIDVzCCAj+gAwIBAgIJANfOWdH1ItcBMA0GCSqGSIb3DQEBCwUAMEIxCzAJBgNV
BAYTAlhYMRUwEwYDVQQHDAxEZWZhdWx0IENpdHkxHDAaBgNVBAoME0RlZmF1bHQg
Q29tcGFueSBMdGQwHhcNMjEwNDI3MDg1NTIzWhcNMzEwNDI1MDg1NTIzWjBCMQsw
CQYDVQQGEwJYWDEVMBMGA1UEBwwMRGVmYXVsdCBDaXR5MRwwGgYDVQQKDBNEZWZh
dWx0IENvbXBhbnkgTHRkMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA
2VCTd91fnUn73Xy9DLvt/V62TVxRTEEstVdeRaZ3B3leO0pldE806mXO4RwdHXag
HQ4vGeZN0yqm++rDsGK+U3AH7kejyD2pXshNP9Cq5YwbptiLGtjcquw4HNxJQUOm
DeJf2vg6byms9RUipiq4SzbJKqJFlUpbuIPDpSpWz10PYmyCNeDGUUK65E5h2B83
4uxl1zNLYQCrkdBzb8oUxwYeP5a2DNxmjL5lsJML7DGr5znsevnoqGRwTm9fxCGf
y8wus7hwKz6clt3Whmmda7UAdb1c08hEQFVRbF14AR73xbnd8N0obCWJPCbzMCtk
aSef4FdEEgEXJiw0VAJT8wIDAQABo1AwTjAdBgNVHQ4EFgQUT1c7nd/SUO76HSoZ
umNUJv1R5PwwHwYDVR0jBBgwFoAUT1c7nd/SUO76HSoZumNUJv1R5PwwDAYDVR0T
BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAfTjxKRQMzNB/U6ZoCUS+BSNfa2Oh
0plMN6ZuzwiVVZwg1jywvv5yv04koS7Pd4i9E4gt9ZBUQXlpq+A3oOCEEHNRR6b2
kyazGRM7s0OP5X21WrbpSmKmU6K7hkfx30yYs08LVs/Q8DIhvaj1FCFeJzUCzYn/
fHMq4tsbKO0dKAeydPM/nrUZBmaYQVKMVOORGLFjFKVO7JV6Kq/R86ouhjEPgJOe
2xulNBUcjicqtZlBdEh/PWCYP2SpGVDclKm8jeo175T3EVAkdKzzmfpxtMmnMlmq
cTJOU9TxuGvNASMtjj7pYIerTx+xgZDXEVBWFW9PjJ0TV06tCRsgSHItgg==
-----END CERTIFICATE-----
"""
PUBLISHED_SERIAL_NO = "D7CE59D1F522D701"
PUBLISHED_TIMESTAMP, PUBLISHED_NONCE = "1624523846", "EcZ9Cmy4Xyx1i6RlJQzLcCyEqDa26NBz"
PUBLISHED_SIGNATURE = (
    "tJHIiIS9eB2hAYstmAmbbD3ZE5LiIm/Ug5tuL4fC0YOFRWIHV39UFIZXC0e9Wl6lBu6sKvkqDkzpqzBsVHyXF"
    "lbYZTOQrVdG4b6LfTnK4mikv9++ixJMd3vTf2yCqvBkh98zs3Ds5zsYQakzbcwhmw4fMJs4nPLws28H0UW9FjDR//rxELLwXvV1VEA1I"
    "BLX70xptjL8hrfUjEE8kkry6yNJTHZRU8CAc7qHli2Ng1V1qb9ARbK8A3ThmFmPQvRGrapI/jS2laKKgYUmfdEdkNO6B2Cke5e8VTxY4"
    "06ArAmQ90GAihDwIcb16TQMnzCMBoutnwZKNiKRACrFmtxw2Q=="
)
PUBLISHED_BODY = (
    '{"id":"3119dfba-e649-5eec-ab1e-3412bc4d2e17","create_time":"2021-06-24T16:37:26+08:00",'
    '"resource_type":"encrypt-resource","event_type":"PAYSCORE.USER_OPEN_SERVICE","summary":"签约成功",'
    '"resource":{"original_type":"payscore","algorithm":"AEAD_AES_256_GCM","ciphertext":"'
    "YDS3lKPaC4Y52Gf3uhft5qUBlIa8b428AWTtTauHQfQrRw+X1WpiuHIDy0vo1Vd6VEq67aVyqPdDYMkRVSDaZL3iZt"
    "tevRMOoPKMifozg6XPWjIZumks/GpT48lI4NizyeaqLBokNebthah3o1H76qSlO9NkDjp9bzmKLEYYH9TEklFUpsvPqOTOcgSLgh21YJXYR"
    '7dEBXFgRLiNIKRgO5JdXh1hccRUAlyVWxE54PXpnQ==","associated_data":"payscore","nonce":"Kj7QIyUiYx1q"}}'
)
PUBLISHED_KEY = b"testMchAPIv3Key0"


@pytest.fixture(scope="module")
def credentials() -> config.WechatCredentials:
    return config.read_credentials(ChannelAccount("test", credentials=keys.build_credentials()))


@pytest.fixture(scope="module")
def sdk() -> WeChatPay:
    return WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=keys.MERCHANT_ID,
        private_key=keys.private_pem("merchant"),
        cert_serial_no=keys.CERTIFICATE_SERIAL_NO,
        apiv3_key=keys.API_V3_KEY,
        appid=keys.APP_ID,
        public_key=keys.public_pem("wechat"),
        public_key_id=keys.PUBLIC_KEY_ID,
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v3/pay/transactions/native", '{"description":"拿铁","amount":{"total":1}}'),
        ("GET", "/v3/pay/transactions/out-trade-no/PAY-1?mchid=1900000109", ""),
    ],
)
def test_a_request_is_signed_as_the_sdk_signs_it(
    credentials: config.WechatCredentials, method: str, path: str, body: str
) -> None:
    theirs = utils.build_authorization(
        path, method, keys.MERCHANT_ID, keys.CERTIFICATE_SERIAL_NO, keys.make_key("merchant"), data=body
    )
    ours = signing.build_authorization(
        credentials,
        method,
        path,
        body,
        timestamp=int(_read_params(theirs)["timestamp"]),
        nonce=_read_params(theirs)["nonce_str"],
    )
    assert _read_params(ours) == _read_params(theirs)
    assert ours.startswith("WECHATPAY2-SHA256-RSA2048 ")


def test_the_parameters_for_the_customers_browser_are_signed_as_the_sdk_signs_them(
    credentials: config.WechatCredentials, sdk: WeChatPay
) -> None:
    params = signing.build_bridge_params(
        credentials,
        "wx201410272009395522657a690389285100",
        timestamp=1554208460,
        nonce="593BEC0C930BF1AFEB40B4A08C8FB242",
    )
    lines = [
        "1554208460",
        "593BEC0C930BF1AFEB40B4A08C8FB242",
        "prepay_id=wx201410272009395522657a690389285100",
    ]
    assert params["paySign"] == sdk.sign([keys.APP_ID, *lines])
    assert (params["package"], params["signType"], params["appId"]) == (lines[2], "RSA", keys.APP_ID)


def test_signatures_of_the_sdk_are_verified() -> None:
    signature = utils.rsa_sign(keys.make_key("wechat"), "1554208460\nnonce\n{}\n")
    key = keys.make_key("wechat").public_key()
    assert signing.is_signed(key, signature, "1554208460", "nonce", "{}")
    for lines in (
        ("1554208461", "nonce", "{}"),
        ("1554208460", "nonce", "{} "),
        ("1554208460", "nonce{}", ""),
    ):
        assert not signing.is_signed(key, signature, *lines)
    assert not signing.is_signed(keys.make_key("other").public_key(), signature, "1554208460", "nonce", "{}")


@pytest.mark.parametrize("signature", ["", "x", "WECHATPAY/SIGNTEST/abc", "\ud800", "AAAA", "é"])
def test_an_invalid_signature_is_refused(signature: str) -> None:
    assert not signing.is_signed(keys.make_key("wechat").public_key(), signature, "1", "2", "3")


def test_a_published_callback_is_verified_and_decrypted() -> None:
    certificate = x509.load_pem_x509_certificate(PUBLISHED_CERTIFICATE.encode())
    assert keys.serial_no(certificate) == PUBLISHED_SERIAL_NO
    key = certificate.public_key()
    lines = (PUBLISHED_TIMESTAMP, PUBLISHED_NONCE, PUBLISHED_BODY)
    assert signing.is_signed(key, PUBLISHED_SIGNATURE, *lines)
    assert not signing.is_signed(key, PUBLISHED_SIGNATURE, *lines[:2], PUBLISHED_BODY.replace("签约", "解约"))
    resource = json.loads(PUBLISHED_BODY)["resource"]
    assert json.loads(encryption.decrypt_resource((PUBLISHED_KEY,), resource)) == {
        "mchid": "1234567890",
        "appid": "054aa7d7a2a54ab5898df65bd96f001c",
        "create_time": "2020-06-30T12:12:00+08:00",
        "out_contract_code": "21640bdbd08e473e828f3206a2741c6e",
    }


def test_the_sdk_decrypts_the_callbacks_of_the_tests() -> None:
    """Shows that the callbacks of these tests have the format of WeChat Pay."""
    sealed = keys.encrypt('{"out_trade_no":"拿铁"}'.encode(), original_type="transaction")
    plain = utils.aes_decrypt(
        sealed["nonce"], sealed["ciphertext"], sealed["associated_data"], keys.API_V3_KEY
    )
    assert plain == '{"out_trade_no":"拿铁"}'


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithm": "AEAD_SM4_GCM"},
        {"ciphertext": base64.b64encode(b"x" * 40).decode()},
        {"ciphertext": "not base64"},
        {"ciphertext": None},
        {"nonce": "short"},
        {"nonce": ""},
        {"nonce": 1},
        {"associated_data": "refund"},
    ],
)
def test_a_text_that_is_not_encrypted_for_the_merchant_is_refused(changes: dict[str, object]) -> None:
    resource = {**keys.encrypt(b"{}", original_type="transaction"), **changes}
    with pytest.raises(encryption.DecryptionFailed):
        encryption.decrypt_resource((keys.API_V3_KEY.encode(),), resource)


def test_the_previous_key_decrypts_too_during_a_rotation() -> None:
    resource = keys.encrypt(b"{}", original_type="transaction", api_v3_key="o" * 32)
    assert encryption.decrypt_resource((keys.API_V3_KEY.encode(), b"o" * 32), resource) == b"{}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mch_id", ""),
        ("mch_id", "abc"),
        ("app_id", "1900000109"),
        ("api_v3_key", "too short"),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"),
        ("private_key", "\x00"),
        ("certificate_serial_no", 'a",serial_no="b'),
        ("public_key_id", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"),
        ("public_key_id", ""),
        ("public_key", ""),
        ("public_key", "AAAA"),
    ],
)
def test_a_malformed_credential_is_refused_by_its_name(field: str, value: str) -> None:
    account = ChannelAccount("test", credentials=keys.build_credentials(**{field: value}))
    with pytest.raises(config.UnusableCredentials) as refusal:
        config.read_credentials(account)
    assert refusal.value.field == field
    assert value not in str(refusal.value) or not value


def test_credentials_are_not_in_the_text_of_an_account() -> None:
    account = ChannelAccount("test", credentials=keys.build_credentials())
    assert keys.API_V3_KEY not in repr(account)
    assert "PRIVATE" not in repr(account)


def _read_params(authorization: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="([^"]*)"', authorization))
