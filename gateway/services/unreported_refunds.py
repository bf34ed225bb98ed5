"""Finds refunds that a channel made or ended and that no webhook reported: made in its dashboard while the endpoint was
down, for instance.

Every hour the channel's list of the last three days is compared with our books. What was refunded before that is found
by `manage.py reconcile`.
"""

import datetime as dt

import structlog
from django.utils import timezone

from channels.base import ListingFailed
from channels.registry import get_channel, list_channel_names
from gateway.services import channel_refunds, reconciliation
from gateway.services.channel_updates import Effect
from gateway.services.reconciliation import MARGIN

log = structlog.get_logger(__name__)

LOOK_BACK_DAYS = 3
# A run ends, however many refunds there are.
MAX_LISTED = 10_000


def find_and_book() -> int:
    """Looks at every channel that serves, and answers how many refunds were booked or changed.

    Raises `ListingFailed` when a list broke off, after all channels were looked at: the next run reads it again.
    """
    booked, failure = 0, None
    for channel in list_channel_names():
        for environment in reconciliation.environments_of(channel):
            try:
                booked += _book(channel, environment)
            except ListingFailed as error:
                log.warning(
                    "refund.list_broke_off", channel=channel, environment=environment, reason=str(error)
                )
                failure = error
    if failure is not None:
        raise failure
    return booked


def _book(channel: str, environment: str) -> int:
    now, booked = timezone.now(), 0
    source = get_channel(channel, environment).channel.name
    for update in reconciliation.unreported_refunds(
        channel=channel,
        environment=environment,
        since=now - dt.timedelta(days=LOOK_BACK_DAYS),
        until=now + MARGIN,
        at_most=MAX_LISTED,
    ):
        # The list may be older than a webhook that came meanwhile. What contradicts our books is asked about.
        effect = channel_refunds.apply_listed_refund(
            update=update, reference=update.payment_reference, source=source, was_asked=False
        )
        booked += effect == Effect.APPLIED
    if booked:
        log.warning("refund.found_unreported", channel=channel, environment=environment, count=booked)
    return booked
