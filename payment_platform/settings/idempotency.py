"""Idempotency. How long records are kept is a constant, because the API promises it: `idempotency/retention.py`."""

from payment_platform.settings.base import env

# After this time without an answer, a repeated request resumes the first one's work.
IDEMPOTENCY_LEASE_SECONDS: float = env.float("IDEMPOTENCY_LEASE_SECONDS", default=60.0)
