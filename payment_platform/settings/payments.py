"""Payments."""

from payment_platform.settings.base import env

# How long a payment without `expires_in` can be paid.
PAYMENT_EXPIRES_IN_SECONDS: int = env.int("PAYMENT_EXPIRES_IN_SECONDS", default=1800)
# What happens to a late payment: "refund" refunds it, "park" stops it for review.
LATE_MONEY_POLICY: str = env.str("LATE_MONEY_POLICY", default="refund")
