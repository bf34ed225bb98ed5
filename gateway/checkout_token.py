"""Signed links to the payment page: the link of another payment cannot be guessed."""

import base64
import functools
import uuid

from django.conf import settings
from django.core.signing import BadSignature, Signer

_signer = Signer(salt="checkout", sep=".")


def build_checkout_url(payment_id: uuid.UUID) -> str:
    return f"{settings.PUBLIC_BASE_URL}/checkout/{_build_token(payment_id)}"


# A new payment's link goes to the channel, into its event and into the answer.
@functools.lru_cache(maxsize=1024)
def _build_token(payment_id: uuid.UUID) -> str:
    encoded_id = base64.urlsafe_b64encode(payment_id.bytes).decode().rstrip("=")
    return _signer.sign(encoded_id)


def read_payment_id(token: str) -> uuid.UUID | None:
    """None when the signature is not ours."""
    try:
        encoded_id = _signer.unsign(token)
    except BadSignature:
        return None
    return uuid.UUID(bytes=base64.urlsafe_b64decode(f"{encoded_id}=="))
