"""Signatures of APIv3: RSA-SHA256 (PKCS#1 v1.5) over lines that each end with a line feed.

Requests: pay.weixin.qq.com/doc/v3/merchant/4012365342; answers and webhooks:
pay.weixin.qq.com/wiki/doc/apiv3/wechatpay/wechatpay4_1.shtml.
"""

import base64
import binascii
import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from channels.wechat.config import WechatCredentials

SCHEME = "WECHATPAY2-SHA256-RSA2048"
PROBE_PREFIX = "WECHATPAY/SIGNTEST/"


def create_nonce() -> str:
    return secrets.token_hex(16).upper()


def sign(private_key: RSAPrivateKey, *lines: str) -> str:
    signature = private_key.sign(_join(lines), PKCS1v15(), SHA256())
    return base64.b64encode(signature).decode()


def is_signed(public_key: RSAPublicKey, signature: str, *lines: str) -> bool:
    try:
        public_key.verify(base64.b64decode(signature, validate=True), _join(lines), PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):  # ValueError: not ASCII, or a lone surrogate
        return False
    return True


def build_authorization(
    credentials: WechatCredentials, method: str, path_and_query: str, body: str, *, timestamp: int, nonce: str
) -> str:
    """Builds the header `Authorization`. `body` is exactly what is sent, empty for GET."""
    signature = sign(credentials.private_key, method, path_and_query, str(timestamp), nonce, body)
    return (
        f'{SCHEME} mchid="{credentials.merchant_id}",nonce_str="{nonce}",signature="{signature}",'
        f'timestamp="{timestamp}",serial_no="{credentials.certificate_serial_no}"'
    )


def build_bridge_params(
    credentials: WechatCredentials, prepay_id: str, *, timestamp: int, nonce: str
) -> dict[str, str]:
    """Builds the parameters that a page in WeChat passes to `getBrandWCPayRequest` or `wx.chooseWXPay`."""
    package = f"prepay_id={prepay_id}"
    return {
        "appId": credentials.app_id,
        "timeStamp": str(timestamp),
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": sign(credentials.private_key, credentials.app_id, str(timestamp), nonce, package),
    }


def _join(lines: tuple[str, ...]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
