"""Idempotency. How long records are kept is a constant, because the API promises it: `idempotency/retention.py`."""

from payment_platform.settings.base import env

# After this time without an answer, a repeated request resumes the first one's work. Not shorter than
# SAGA_LEASE_SECONDS: before that, the work cannot be resumed.
IDEMPOTENCY_LEASE_SECONDS: float = env.float("IDEMPOTENCY_LEASE_SECONDS", default=30.0)
