"""The keys and secrets of our accounts at Stripe, one for each environment, and the client that uses them."""

import logging
from typing import Any

import stripe
from django.conf import settings

from channels.stripe.http import DeadlineClient

# The shapes that `shapes.py` reads are those of this version, whatever the account's own default is.
API_VERSION = "2026-10-28.endive"
# Its lines at INFO repeat what our own say of each call.
logging.getLogger("stripe").setLevel(logging.WARNING)


def secret_key(environment: str) -> str:
    """Empty when this environment is not connected to Stripe."""
    key: str = settings.STRIPE_SECRET_KEYS[environment]
    return key


def webhook_secrets(environment: str) -> list[str]:
    """Newest first; several while one is being rotated."""
    secrets: list[str] = settings.STRIPE_WEBHOOK_SECRETS[environment]
    return secrets


def client(environment: str, timeout_seconds: float) -> stripe.StripeClient:
    """A client whose calls, all together, end within `timeout_seconds`. The SDK never repeats one by itself: the saga
    does, after it has asked."""
    addresses: Any = {"api": settings.STRIPE_API_BASE} if settings.STRIPE_API_BASE else {}
    return stripe.StripeClient(
        secret_key(environment),
        stripe_version=API_VERSION,
        base_addresses=addresses,
        max_network_retries=0,
        http_client=DeadlineClient(timeout_seconds),
    )
