"""Whose account we speak for, and how long we wait: one client of Stripe's SDK per environment and time limit."""

import functools
import logging
from typing import Any

import stripe
from django.conf import settings

# The shapes that `shapes.py` reads are those of this version, whatever the account's own default is.
API_VERSION = "2026-10-28.endive"
CONNECT_SECONDS = 3.0
# Its lines at INFO repeat what our own say of each call.
logging.getLogger("stripe").setLevel(logging.WARNING)
LIVE = "live"


def secret_key(environment: str) -> str:
    """Empty when this environment is not connected to Stripe."""
    key: str = settings.STRIPE_SECRET_KEYS[environment]
    return key


def webhook_secrets(environment: str) -> list[str]:
    """Newest first; several while one is being rotated."""
    secrets: list[str] = settings.STRIPE_WEBHOOK_SECRETS[environment]
    return secrets


def client(environment: str, timeout_seconds: float) -> stripe.StripeClient:
    """The SDK never repeats a request by itself: the saga does, after it has asked."""
    return _client(secret_key(environment), settings.STRIPE_API_BASE, timeout_seconds)


@functools.lru_cache(maxsize=16)
def _client(key: str, api_base: str, timeout_seconds: float) -> stripe.StripeClient:
    addresses: Any = {"api": api_base} if api_base else {}
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses=addresses,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=(min(CONNECT_SECONDS, timeout_seconds), timeout_seconds)),
    )
