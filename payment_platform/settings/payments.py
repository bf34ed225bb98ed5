"""Payments, idempotency and rate limits."""

from payment_platform.settings.base import env

# How long a payment without `expires_in` can be paid.
PAYMENT_EXPIRES_IN_SECONDS: int = env.int("PAYMENT_EXPIRES_IN_SECONDS", default=1800)
# What happens to a late payment: "refund" refunds it, "park" stops it for review.
LATE_MONEY_POLICY: str = env.str("LATE_MONEY_POLICY", default="refund")
# After this time without an answer, a repeated request resumes the first one's work.
IDEMPOTENCY_LEASE_SECONDS: float = env.float("IDEMPOTENCY_LEASE_SECONDS", default=60.0)
# Requests per second of one API key, on average.
RATE_LIMIT_PER_SECOND: float = env.float("RATE_LIMIT_PER_SECOND", default=100.0)
# Requests that one API key may send at once.
RATE_LIMIT_BURST: int = env.int("RATE_LIMIT_BURST", default=200)
