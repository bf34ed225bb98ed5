"""RSA2 signatures: SHA256withRSA, PKCS #1 v1.5, base64 (common/057k53, "Signature").

Requests: all parameters but `sign`, sorted by name, `name=value` joined by `&`, values as before URL encoding, without
parameters that have no value (common/057k53; get_sign_content of alipay-sdk-python).
Notices and the return to the merchant's page: the same, and `sign_type` is left out too (rsaCheckV1 of the SDKs).
Answers: the text of the inner object as it is sent (DefaultAlipayClient.__parse_response of alipay-sdk-python).
"""

import base64
import binascii
from collections.abc import Collection, Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NOT_IN_REQUESTS = frozenset({"sign"})
NOT_IN_NOTICES = frozenset({"sign", "sign_type"})


def text_to_sign(fields: Mapping[str, str], *, without: Collection[str]) -> str:
    return "&".join(
        f"{name}={value}" for name, value in sorted(fields.items()) if name not in without and value
    )


def sign(message: bytes, private_key: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed(message: bytes, signature: str, public_key: rsa.RSAPublicKey) -> bool:
    try:
        public_key.verify(
            base64.b64decode(signature, validate=True), message, padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, binascii.Error):
        return False
    return True


def make_private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@lru_cache
def load_private_key(text: str) -> rsa.RSAPrivateKey:
    """Takes PEM, or the base64 line that Alipay's key tool writes (PKCS #8). Raises ValueError."""
    key = serialization.load_der_private_key(_der(text), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA private key")
    return key


@lru_cache
def load_public_key(text: str) -> rsa.RSAPublicKey:
    """Takes PEM, or the base64 line that Alipay's console shows. Raises ValueError."""
    key = serialization.load_der_public_key(_der(text))
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA public key")
    return key


def write_private_key(key: rsa.RSAPrivateKey) -> str:
    """Returns the base64 line (PKCS #8) in which Alipay's key tool writes a key."""
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(der).decode()


def write_public_key(key: rsa.RSAPublicKey) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _der(text: str) -> bytes:
    body = text.partition("KEY-----")[2].partition("-----END")[0] if "-----BEGIN" in text else text
    return base64.b64decode("".join(body.split()), validate=True)
