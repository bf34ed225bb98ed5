"""The certificates whose keys sign webhooks, from PayPal's own hosts, kept in the memory of the process.

Over HTTPS the host proves that a certificate is PayPal's; its own dates are checked as well. Anybody can name a
certificate that does not exist, so that a process downloads few in a minute: PayPal has few, and sends again what was
refused.
"""

import datetime as dt
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from channels.base import WebhookRefused
from channels.paypal.config import is_certificate_url
from common.deadlines import Deadline
from common.http_calls import AnswerLost, send_request

TIMEOUT_SECONDS = 5.0
MAX_CERTIFICATE_BYTES = 64 * 1024
MAX_KEPT = 100
MAX_DOWNLOADS, DOWNLOADS_SECONDS = 10, 60.0


@dataclass(frozen=True, slots=True)
class _Certificate:
    key: RSAPublicKey
    valid_from: dt.datetime
    valid_until: dt.datetime


_kept: OrderedDict[str, _Certificate] = OrderedDict()
_downloads: deque[float] = deque(maxlen=MAX_DOWNLOADS)  # when they began, of the monotonic clock
_lock = threading.Lock()


def get_public_key(url: str, environment: str) -> RSAPublicKey:
    """Returns the key of the certificate. Raises `WebhookRefused`."""
    if not is_certificate_url(url, environment):
        raise WebhookRefused("the certificate is not at PayPal")
    with _lock:
        certificate = _kept.get(url)
        if certificate is None:
            _count_download()
    if certificate is None:
        certificate = _read(_download(url))
        with _lock:
            _kept[url] = certificate
            while len(_kept) > MAX_KEPT:
                _kept.popitem(last=False)
    if not certificate.valid_from <= _read_now() <= certificate.valid_until:
        raise WebhookRefused("the certificate is not valid now")
    return certificate.key


def forget_certificates() -> None:
    with _lock:
        _kept.clear()
        _downloads.clear()


def _count_download() -> None:
    now = time.monotonic()
    if len(_downloads) == MAX_DOWNLOADS and now - _downloads[0] < DOWNLOADS_SECONDS:
        raise WebhookRefused("too many certificates were downloaded in the last minute")
    _downloads.append(now)


def _download(url: str) -> bytes:
    try:
        answer = send_request(
            "GET", url, deadline=Deadline(TIMEOUT_SECONDS), max_answer_bytes=MAX_CERTIFICATE_BYTES
        )
    except AnswerLost as error:
        raise WebhookRefused(f"PayPal's certificate cannot be fetched: {error}") from error
    if answer.status != 200:
        raise WebhookRefused(f"PayPal's certificate cannot be fetched: status {answer.status}")
    return answer.body


def _read(content: bytes) -> _Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(content)
        key = certificate.public_key()
    except (ValueError, TypeError) as error:
        raise WebhookRefused("PayPal's certificate cannot be read") from error
    if not isinstance(key, RSAPublicKey):
        raise WebhookRefused("PayPal's certificate has no RSA key")
    return _Certificate(key, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _read_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
