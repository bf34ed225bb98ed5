"""A client of Stripe's SDK with the platform's test account."""

import stripe

from channels.registry import get_platform_account
from channels.stripe import config


def build_test_client(timeout_seconds: float) -> stripe.StripeClient:
    return config.build_client(get_platform_account("stripe", "test"), timeout_seconds)
