"""The link to a payment's page: which payment, and our signature, so that nobody finds another one by guessing."""

import base64
import uuid

from django.conf import settings
from django.core.signing import BadSignature, Signer

_signer = Signer(salt="checkout", sep=".")


def address_of(payment_id: uuid.UUID) -> str:
    name = base64.urlsafe_b64encode(payment_id.bytes).decode().rstrip("=")
    return f"{settings.PUBLIC_BASE_URL}/checkout/{_signer.sign(name)}"


def payment_of(token: str) -> uuid.UUID | None:
    """None when we have not signed it."""
    try:
        name = _signer.unsign(token)
    except BadSignature:
        return None
    return uuid.UUID(bytes=base64.urlsafe_b64decode(f"{name}=="))
