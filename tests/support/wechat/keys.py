"""Keys and credentials of a merchant and of WeChat Pay. Keys are made once for each test process."""

import base64
import datetime as dt
import functools
import json
import secrets
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from channels.base import ChannelAccount

MERCHANT_ID, APP_ID = "1900000109", "wxd678efh567hg6787"
API_V3_KEY = "0123456789abcdef0123456789ABCDEF"
CERTIFICATE_SERIAL_NO = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000001092024"
WEBHOOK_URL = "https://pay.example/api/v1/webhooks/wechat"


@functools.cache
def make_key(_owner: str) -> rsa.RSAPrivateKey:
    """Returns the key of "merchant", "wechat" (public key), "platform" (certificate) or another owner."""
    return rsa.generate_private_key(65537, 2048)


def private_pem(owner: str) -> str:
    key = make_key(owner)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(owner: str) -> str:
    key = make_key(owner).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@functools.cache
def make_certificate(owner: str, *, valid_days: int = 365) -> x509.Certificate:
    """A platform certificate. With `valid_days` below zero it has expired."""
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tenpay.com")])
    ends_at = dt.datetime.now(dt.UTC) + dt.timedelta(days=valid_days)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=make_key(owner).public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=ends_at - dt.timedelta(days=400),
        not_valid_after=ends_at,
    )
    return builder.sign(make_key(owner), hashes.SHA256())


def serial_no(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:X}"


def build_credentials(*, with_public_key: bool = True, **changes: str) -> dict[str, str]:
    values = {
        "mch_id": MERCHANT_ID,
        "app_id": APP_ID,
        "api_v3_key": API_V3_KEY,
        "private_key": private_pem("merchant"),
        "certificate_serial_no": CERTIFICATE_SERIAL_NO,
    }
    if with_public_key:
        values |= {"public_key_id": PUBLIC_KEY_ID, "public_key": public_pem("wechat")}
    return values | changes


def build_account(*, with_public_key: bool = True, **changes: Any) -> ChannelAccount:
    credentials = build_credentials(with_public_key=with_public_key)
    return ChannelAccount("test", **{"credentials": credentials, "webhook_url": WEBHOOK_URL, **changes})


def encrypt(plain: bytes, *, original_type: str, api_v3_key: str = API_V3_KEY) -> dict[str, Any]:
    """Encrypts a resource as WeChat Pay does."""
    nonce, associated_data = secrets.token_hex(6), original_type
    sealed = AESGCM(api_v3_key.encode()).encrypt(nonce.encode(), plain, associated_data.encode())
    return {
        "original_type": original_type,
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": associated_data,
        "nonce": nonce,
    }


def build_certificates_answer(*certificates: x509.Certificate, api_v3_key: str = API_V3_KEY) -> bytes:
    """The body of the answer of GET /v3/certificates."""
    data = [
        {
            "serial_no": serial_no(each),
            "effective_time": each.not_valid_before_utc.isoformat(),
            "expire_time": each.not_valid_after_utc.isoformat(),
            "encrypt_certificate": encrypt(
                each.public_bytes(Encoding.PEM), original_type="certificate", api_v3_key=api_v3_key
            ),
        }
        for each in certificates
    ]
    return json.dumps({"data": data}).encode()
