"""Signs webhooks as PayPal does (developer.paypal.com/api/rest/webhooks/rest), with a certificate of its own."""

import base64
import datetime as dt
import functools
import json
import secrets
import uuid
import zlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from channels.base import WebhookRequest
from tests.support.paypal.values import format_time

CERTIFICATE_PATH = "/v1/notifications/certs/CERT-360caa42-fca2a594-ab66f33d"


@functools.cache
def get_key() -> rsa.RSAPrivateKey:
    """One for all tests of a process."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@functools.cache
def build_certificate(*, is_expired: bool = False) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.com")])
    now, year = dt.datetime.now(dt.UTC), dt.timedelta(days=365)
    end = now - dt.timedelta(days=1) if is_expired else now + year
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(get_key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - year)
        .not_valid_after(end)
        .sign(get_key(), hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def build_event(event_type: str, resource_type: str, resource: dict[str, Any]) -> bytes:
    event = {
        "id": f"WH-{secrets.token_hex(8).upper()}-{secrets.token_hex(8).upper()}",
        "event_version": "1.0",
        "create_time": format_time(dt.datetime.now(dt.UTC)),
        "resource_type": resource_type,
        "resource_version": "2.0",
        "event_type": event_type,
        "summary": event_type,
        "resource": resource,
    }
    return json.dumps(event).encode()


def build_webhook(
    body: bytes, base: str, webhook_id: str, *, path: str = CERTIFICATE_PATH, algorithm: str = "SHA256withRSA"
) -> WebhookRequest:
    """A transmission of the event. Each transmission has an id and a time of its own."""
    transmission_id, time = str(uuid.uuid4()), format_time(dt.datetime.now(dt.UTC))
    signed = f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body)}".encode()
    signature = get_key().sign(signed, padding.PKCS1v15(), hashes.SHA256())
    headers = {
        "Paypal-Transmission-Id": transmission_id,
        "Paypal-Transmission-Time": time,
        "Paypal-Transmission-Sig": base64.b64encode(signature).decode(),
        "Paypal-Cert-Url": base + path,
        "Paypal-Auth-Algo": algorithm,
    }
    return WebhookRequest(body, headers)
