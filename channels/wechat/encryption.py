"""Decrypts what WeChat Pay encrypts with the APIv3 key: resources of webhooks, platform certificates.

AES-256-GCM: pay.weixin.qq.com/wiki/doc/apiv3_partner/wechatpay/wechatpay4_2.shtml.
"""

import base64
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ALGORITHM = "AEAD_AES_256_GCM"


class DecryptionFailed(Exception):
    """None of the keys decrypts the data, or it has not the documented form."""


def decrypt_resource(api_v3_keys: tuple[bytes, ...], resource: Mapping[str, Any]) -> bytes:
    """Tries the present key and then, during a rotation, the previous one."""
    if resource.get("algorithm") != ALGORITHM:
        raise DecryptionFailed(f"unknown algorithm {resource.get('algorithm')!r}")
    try:
        nonce = resource["nonce"].encode()
        associated_data = (resource.get("associated_data") or "").encode()
        ciphertext = base64.b64decode(resource["ciphertext"], validate=True)
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise DecryptionFailed("nonce or ciphertext is missing or malformed") from error
    for key in api_v3_keys:
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, associated_data)
        except (InvalidTag, ValueError):  # ValueError: a nonce of the wrong length
            continue
    raise DecryptionFailed("the APIv3 key does not decrypt it")
