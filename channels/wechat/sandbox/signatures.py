"""Verifies requests, signs answers and callbacks, encrypts resources.

Request: wechatpay-api.gitbook.io/wechatpay-api-v3/qian-ming-zhi-nan-1/qian-ming-sheng-cheng (five lines).
Answer and callback: docs/merchant/development/interface-rules/signature-verification.html (three lines).
Resource: docs/merchant/apis/h5-payment/payment-notice.html (AEAD_AES_256_GCM).
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from channels.wechat.sandbox.clock import format_rfc3339
from channels.wechat.sandbox.errors import SandboxApiError, resource_not_exists, sign_error
from channels.wechat.sandbox.merchants import PlatformKeys, SandboxMerchant, SigningMode

SCHEME = "WECHATPAY2-SHA256-RSA2048"
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"
# A signature that WeChat Pay breaks on purpose, in an answer or a callback, to see whether the merchant verifies:
# doc/v3/merchant/4016241880, developers.weixin.qq.com/community/pay/article/doc/0004a879f60928d89340b8b9f64c13.
PROBE_PREFIX = "WECHATPAY/SIGNTEST/"
MAX_AGE_SECONDS = 300
_PARAMETER = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Authorization:
    mchid: str
    serial_no: str
    nonce: str
    timestamp: str
    signature: str


def parse_authorization(header: str) -> Authorization:
    """Raises `SandboxApiError` with the texts of signature-faqs.html."""
    scheme, _, rest = header.strip().partition(" ")
    if not rest:
        raise sign_error("HTTP头Authorization值格式错误")
    if scheme != SCHEME:
        raise sign_error("HTTP头Authorization认证类型不正确")
    values = {}
    position = 0
    while match := _PARAMETER.match(rest, position):
        values[match[1]] = match[2]
        position = match.end()
    names = ("mchid", "serial_no", "nonce_str", "timestamp", "signature")
    if position != len(rest) or any(not values.get(name) for name in names):
        raise sign_error("HTTP头Authorization值格式错误")
    return Authorization(
        values["mchid"], values["serial_no"], values["nonce_str"], values["timestamp"], values["signature"]
    )


def verify_request(
    merchants: Mapping[str, SandboxMerchant], header: str, method: str, url: str, body: bytes
) -> SandboxMerchant:
    """Returns the merchant that signed the request. `url` is the raw path with its query. Raises `SandboxApiError`."""
    authorization = parse_authorization(header)
    merchant = merchants.get(authorization.mchid)
    if merchant is None:
        raise sign_error("商户未申请过证书。")
    if authorization.serial_no.upper() != merchant.certificate_serial:
        raise sign_error("商户证书序列号有误。")
    if not re.fullmatch(r"\d{1,12}", authorization.timestamp, re.ASCII):
        raise sign_error("HTTP头Authorization值格式错误")
    if abs(time.time() - int(authorization.timestamp)) > MAX_AGE_SECONDS:
        raise sign_error("HTTP头Authorization中的timestamp与发起请求的时间不得超过5分钟")
    head = f"{method}\n{url}\n{authorization.timestamp}\n{authorization.nonce}\n"
    message = head.encode() + body + b"\n"
    if not is_signed_by(merchant, message, authorization.signature):
        raise _signature_mismatch(method, url, message, head, body)
    return merchant


def is_signed_by(merchant: SandboxMerchant, message: bytes, signature: str) -> bool:
    try:
        merchant.public_key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _signature_mismatch(method: str, url: str, message: bytes, head: str, body: bytes) -> SandboxApiError:
    """With the detail that merchants quote, for example developers.weixin.qq.com/community/pay/doc/000a4ed764c330…"""
    return sign_error(
        "错误的签名，导致验签失败。",
        {
            "detail": {"issue": "sign not match"},
            "field": "signature",
            "location": "authorization",
            "sign_information": {
                "method": method,
                "sign_message_length": len(message),
                "truncated_sign_message": f"{head}{body[:8].decode(errors='replace')}\n",
                "url": url,
            },
        },
    )


def choose_answer_serial(platform: PlatformKeys, merchant: SandboxMerchant, requested_serial: str) -> str:
    """An answer uses what the request names, once the merchant has begun to switch; before, the certificate.

    Said by WeChat Pay's staff: developers.weixin.qq.com/community/develop/doc/0004e8c40b09182972936db6d69400.
    """
    if merchant.signing_mode is SigningMode.PUBLIC_KEY:
        return merchant.public_key_id
    if merchant.signing_mode is SigningMode.SWITCHING and requested_serial == merchant.public_key_id:
        return merchant.public_key_id
    return platform.certificate_serial


def choose_callback_serial(platform: PlatformKeys, merchant: SandboxMerchant, event_id: str) -> str:
    """While switching, the share of callbacks with the public key grows day by day, whatever the requests name."""
    if merchant.signing_mode is SigningMode.SWITCHING:
        draw = int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:4], "big") / 2**32 * 100
        uses_public_key = draw < merchant.callback_public_key_percent
    else:
        uses_public_key = merchant.signing_mode is SigningMode.PUBLIC_KEY
    return merchant.public_key_id if uses_public_key else platform.certificate_serial


def sign_headers(
    platform: PlatformKeys, serial: str, body: bytes, *, timestamp: int | None = None
) -> dict[str, str]:
    """The five headers of an answer or a callback. The time is the machine's."""
    at = str(int(time.time()) if timestamp is None else timestamp)
    nonce = secrets.token_hex(16)
    key = platform.public_key_pair if serial.startswith(PUBLIC_KEY_PREFIX) else platform.certificate_key
    return {
        "Wechatpay-Timestamp": at,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": _sign(key, f"{at}\n{nonce}\n".encode() + body + b"\n"),
        "Wechatpay-Signature-Type": SCHEME,
    }


def _sign(key: RSAPrivateKey, message: bytes) -> str:
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def encrypt_resource(merchant: SandboxMerchant, text: str, associated_data: str) -> dict[str, str]:
    nonce = secrets.token_hex(6)  # 12 characters
    sealed = AESGCM(merchant.apiv3_key.encode()).encrypt(
        nonce.encode(), text.encode(), associated_data.encode()
    )
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": associated_data,
        "nonce": nonce,
    }


def list_certificates(platform: PlatformKeys, merchant: SandboxMerchant) -> dict[str, Any]:
    """GET /v3/certificates: docs/merchant/products/platform-certificate/apilist.html. Only the public key: 404."""
    if merchant.signing_mode is SigningMode.PUBLIC_KEY:
        raise resource_not_exists("无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。")
    certificate = platform.certificate
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return {
        "data": [
            {
                "serial_no": platform.certificate_serial,
                "effective_time": format_rfc3339(certificate.not_valid_before_utc.timestamp()),
                "expire_time": format_rfc3339(certificate.not_valid_after_utc.timestamp()),
                "encrypt_certificate": encrypt_resource(merchant, pem, "certificate"),
            }
        ]
    }


def encode_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
