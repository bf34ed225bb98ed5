"""Runs the poller and the expiry in this process."""

from channels.registry import list_channel_names
from gateway.services import expiry, polling
from gateway.services.polling_claims import CLAIM_PAYMENTS, CLAIM_REFUNDS, claim_due_polls
from merchants.models import Environment

PLACES = 100


def poll_due() -> int:
    """Polls all due payments and refunds. Returns how many."""
    polled = 0
    for environment in Environment.values:
        for channel in list_channel_names():
            polled += _poll(CLAIM_PAYMENTS, environment, channel)
        polled += _poll(CLAIM_REFUNDS, environment, "")
    return polled


def _poll(sql: str, environment: str, channel: str) -> int:
    polled = 0
    while claimed := claim_due_polls(sql, environment=environment, channel=channel, places=PLACES).items:
        for poll in claimed:
            polling.poll_payment(poll) if channel else polling.poll_refund(poll)
        polled += len(claimed)
    return polled


def expire_due() -> int:
    """Starts the expiry of all payments that are past `expires_at`. Returns how many."""
    return sum(expiry.expire_due_payments(environment=environment) for environment in Environment.values)
