"""Plays the poller by hand, in this process."""

from channels.registry import list_channel_names
from gateway.services import expiry, polling
from merchants.models import Environment

PLACES = 100


def poll_due() -> int:
    """Polls channels about all that is due, and answers how many payments and refunds that were."""
    polled = 0
    for environment in Environment.values:
        for channel in list_channel_names():
            polled += _poll(polling.CLAIM_PAYMENTS, environment, channel)
        polled += _poll(polling.CLAIM_REFUNDS, environment, "")
    return polled


def _poll(sql: str, environment: str, channel: str) -> int:
    polled = 0
    while batch := polling.claim(sql, environment=environment, channel=channel, places=PLACES).items:
        for due in batch:
            polling.poll_payment(due) if channel else polling.poll_refund(due)
        polled += len(batch)
    return polled


def expire_due() -> int:
    """Begins the end of what nobody paid in time, and answers of how many payments."""
    return sum(expiry.expire_due_payments(environment=environment) for environment in Environment.values)
