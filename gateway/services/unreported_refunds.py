"""Finds refunds that a channel made or settled and that no webhook reported: for instance in its dashboard, while the
webhook endpoint was down.

Every hour the channel's list of the last three days is compared with our refunds. `manage.py reconcile` finds older
ones.
"""

import datetime as dt

import structlog
from django.utils import timezone

from channels.base import ListingFailed
from channels.registry import get_channel, list_channel_names
from gateway.models import UpdateEffect
from gateway.services import reconciliation
from gateway.services.channel_updates.refunds import apply_listed_refund
from gateway.services.reconciliation import MARGIN

log = structlog.get_logger(__name__)

LOOK_BACK_DAYS = 3
MAX_LISTED = 10_000  # in one run


def record_unreported_refunds() -> int:
    """Reads the list of every channel that serves. Returns how many refunds were recorded or changed.

    When a list broke off, raises `ListingFailed` after all channels: the next run reads the list again.
    """
    recorded, failure = 0, None
    for channel in list_channel_names():
        for environment in reconciliation.environments_of(channel):
            try:
                recorded += _record_unreported_refunds_of(channel, environment)
            except ListingFailed as error:
                log.warning(
                    "refund.list_broke_off", channel=channel, environment=environment, reason=str(error)
                )
                failure = error
    if failure is not None:
        raise failure
    return recorded


def _record_unreported_refunds_of(channel: str, environment: str) -> int:
    now, recorded = timezone.now(), 0
    source = get_channel(channel, environment).channel.name
    for update in reconciliation.unreported_refunds(
        channel=channel,
        environment=environment,
        since=now - dt.timedelta(days=LOOK_BACK_DAYS),
        until=now + MARGIN,
        at_most=MAX_LISTED,
    ):
        # Not `is_current`: a webhook may have arrived since the list was read. A query decides a contradiction.
        effect = apply_listed_refund(
            update=update, source=source, payment_reference=update.payment_reference, is_current=False
        )
        recorded += effect == UpdateEffect.APPLIED
    if recorded:
        log.warning("refund.found_unreported", channel=channel, environment=environment, count=recorded)
    return recorded
