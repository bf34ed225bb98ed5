"""The keys and secrets of our accounts at Stripe, one for each environment, and the client that uses them."""

import logging
from typing import Any

import stripe
from django.conf import settings

from channels.stripe.http import DeadlineClient

# Our code reads objects of this version, whatever the default version of the account is.
API_VERSION = "2026-10-28.endive"
# The SDK's log lines at INFO repeat ours.
logging.getLogger("stripe").setLevel(logging.WARNING)


def get_secret_key(environment: str) -> str:
    """Returns the API key; empty when this environment is not connected to Stripe."""
    key: str = settings.STRIPE_SECRET_KEYS[environment]
    return key


def get_webhook_secrets(environment: str) -> list[str]:
    """Returns the signing secrets, newest first; several during a rotation."""
    secrets: list[str] = settings.STRIPE_WEBHOOK_SECRETS[environment]
    return secrets


def build_client(environment: str, timeout_seconds: float) -> stripe.StripeClient:
    """Builds a client whose calls together end within `timeout_seconds`.

    The SDK's own retries are off: the saga repeats a call after a query.
    """
    addresses: Any = {"api": settings.STRIPE_API_BASE} if settings.STRIPE_API_BASE else {}
    return stripe.StripeClient(
        get_secret_key(environment),
        stripe_version=API_VERSION,
        base_addresses=addresses,
        max_network_retries=0,
        http_client=DeadlineClient(timeout_seconds),
    )
