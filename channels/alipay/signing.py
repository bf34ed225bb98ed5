"""Signs requests and verifies what Alipay signs: RSA2, which is RSA with PKCS #1 v1.5 and SHA-256.

What is signed: opendocs.alipay.com/common/057k53. What is verified: opendocs.alipay.com/common/02mse7.
"""

import base64
import binascii
import functools
import re
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_der_private_key,
    load_der_public_key,
)

SIGN_TYPE = "RSA2"
MIN_KEY_BITS = 2048  # for RSA2 (opendocs.alipay.com/common/057k53)
_NOT_SIGNED = frozenset({"sign", "sign_type"})
_PEM_LINE = re.compile(r"-----(?:BEGIN|END) [A-Z ]+-----")


class InvalidKey(Exception):
    """The text is not an RSA key of at least 2048 bits."""


def sign(parameters: Mapping[str, str], private_key: str) -> str:
    """Signs the parameters of a request: all but `sign`, sorted by name, unescaped. Raises `InvalidKey`."""
    return sign_text(_join(parameters, frozenset({"sign"})), load_private_key(private_key))


def sign_text(content: str, private_key: RSAPrivateKey) -> str:
    return base64.b64encode(private_key.sign(content.encode(), PKCS1v15(), SHA256())).decode()


def is_notice_signed(fields: Mapping[str, str], public_keys: Sequence[str]) -> bool:
    """Whether Alipay signed the fields of an asynchronous notice: all but `sign` and `sign_type`, sorted by name."""
    if fields.get("sign_type") != SIGN_TYPE:
        return False
    return is_signed(_join(fields, _NOT_SIGNED).encode(), fields.get("sign", ""), public_keys)


def is_signed(content: bytes, signature: str, public_keys: Sequence[str]) -> bool:
    """Whether one of the keys verifies the signature of the bytes. Raises `InvalidKey`."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(_verifies(load_public_key(key), raw, content) for key in public_keys)


def _verifies(key: RSAPublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


@functools.lru_cache(maxsize=256)
def load_private_key(text: str) -> RSAPrivateKey:
    """Reads a key in PEM, or as the bare base64 (PKCS #8 or PKCS #1) that Alipay's key tool gives."""
    try:
        key = load_der_private_key(_decode(text), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidKey("it is not a private key in PEM or base64") from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_KEY_BITS:
        raise InvalidKey(f"it is not an RSA key of at least {MIN_KEY_BITS} bits")
    return key


@functools.lru_cache(maxsize=256)
def load_public_key(text: str) -> RSAPublicKey:
    """Reads a key in PEM, or as the bare base64 that Alipay shows in its console."""
    try:
        key = load_der_public_key(_decode(text))
    except ValueError as error:
        raise InvalidKey("it is not a public key in PEM or base64") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        raise InvalidKey(f"it is not an RSA key of at least {MIN_KEY_BITS} bits")
    return key


def _decode(text: str) -> bytes:
    return base64.b64decode("".join(_PEM_LINE.sub("", text).split()), validate=True)


def _join(parameters: Mapping[str, str], left_out: frozenset[str]) -> str:
    names = sorted(parameters.keys() - left_out)
    return "&".join(f"{name}={parameters[name]}" for name in names)
