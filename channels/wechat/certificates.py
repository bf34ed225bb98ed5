"""Platform certificates: WeChat Pay's keys of accounts that do not use its public key (`PUB_KEY_ID_…`).

They are downloaded, decrypted with the APIv3 key and kept for each account
(pay.weixin.qq.com/doc/v3/merchant/4012068829).
A new certificate is used before the old one expires, so an unknown serial number makes a download due.
"""

import datetime as dt
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from channels.wechat.config import WechatCredentials
from channels.wechat.encryption import DecryptionFailed, decrypt_resource

# An account's list is downloaded again after this time, and for an unknown serial number at most once in a pause: a
# forged webhook may name any number.
MAX_AGE_SECONDS = 12 * 3600.0
PAUSE_SECONDS = 60.0
PAUSE_AFTER_FAILURE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PlatformCertificate:
    public_key: RSAPublicKey
    expires_at: dt.datetime


@dataclass(slots=True)
class _AccountCertificates:
    """The list of one account in this process. The lock lets one thread download it while others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    by_serial_no: Mapping[str, PlatformCertificate] = field(default_factory=dict)
    downloaded_at: float = -math.inf
    next_download_at: float = -math.inf

    def find_key(self, serial_no: str) -> RSAPublicKey | None:
        if time.monotonic() - self.downloaded_at > MAX_AGE_SECONDS:
            return None
        certificate = self.by_serial_no.get(_normalize(serial_no))
        if certificate is None or certificate.expires_at <= dt.datetime.now(dt.UTC):
            return None
        return certificate.public_key


# By server, merchant number and APIv3 keys: an account with a wrong key delays no other one of the same merchant.
_accounts: dict[tuple[str, str, tuple[bytes, ...]], _AccountCertificates] = {}


def find_certificate_key(
    credentials: WechatCredentials,
    serial_no: str,
    *,
    api_base: str,
    timeout_seconds: float,
    download: Callable[[], Mapping[str, PlatformCertificate]],
) -> RSAPublicKey | None:
    """Returns the key of a valid certificate, and downloads the account's list when it is due. Raises what `download`
    raises."""
    name = (api_base, credentials.merchant_id, credentials.api_v3_keys)
    account = _accounts.setdefault(name, _AccountCertificates())
    key = account.find_key(serial_no)
    if key is not None or not account.lock.acquire(timeout=timeout_seconds):
        return key
    try:
        key = account.find_key(serial_no)
        if key is not None or time.monotonic() < account.next_download_at:
            return key
        account.next_download_at = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
        account.by_serial_no = download()
        account.downloaded_at = time.monotonic()
        account.next_download_at = account.downloaded_at + PAUSE_SECONDS
        return account.find_key(serial_no)
    finally:
        account.lock.release()


def forget_certificates() -> None:
    """For tests: each begins without kept certificates."""
    _accounts.clear()


def decrypt_certificates(
    credentials: WechatCredentials, answer: Mapping[str, Any]
) -> dict[str, PlatformCertificate]:
    """Reads the answer of `GET /v3/certificates`. Raises `DecryptionFailed`."""
    found = {}
    for entry in answer.get("data") or ():
        pem = decrypt_resource(credentials.api_v3_keys, entry.get("encrypt_certificate") or {})
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except ValueError as error:
            raise DecryptionFailed("it is not a certificate") from error
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            raise DecryptionFailed("the certificate has no RSA key")
        found[_normalize(f"{certificate.serial_number:X}")] = PlatformCertificate(
            key, certificate.not_valid_after_utc
        )
    return found


def _normalize(serial_no: str) -> str:
    return serial_no.upper().lstrip("0")
