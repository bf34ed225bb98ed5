"""Records refunds that a channel made or settled and that no webhook reported: for instance in its dashboard, while the
webhook endpoint was down.

Every hour the channel's list of three days is compared with our refunds: of the last three, or of the last three whose
statements certainly exist. `manage.py reconcile` finds older ones.
"""

import datetime as dt
from collections.abc import Iterator
from itertools import islice

import structlog
from django.utils import timezone

from channels.base import ChannelRefund, ListingFailed, ListingSource, ListingWindow
from channels.guard import GuardedChannel
from channels.registry import get_capabilities, list_channel_names
from gateway.models import UpdateEffect
from gateway.services.channel_updates.refunds import apply_listed_refund
from gateway.services.reconciliation.batches import split_into_batches
from gateway.services.reconciliation.comparison import has_listed_outcome
from gateway.services.reconciliation.differences import (
    CLOCK_MARGIN,
    LISTING_TIMEOUT_SECONDS,
    get_served_channels,
)
from gateway.services.reconciliation.our_rows import choose_row, find_listed_refunds, get_refunds
from gateway.update_source import UpdateSource

log = structlog.get_logger(__name__)

LOOK_BACK_DAYS = 3
# A day's statement certainly exists one day after the end of the day, wherever the day began.
STATEMENT_DELAY = dt.timedelta(days=2)
MAX_LISTED = 10_000  # in one run, for each channel and environment


def record_unreported_refunds() -> int:
    """Reads the list of every channel that serves. Returns how many refunds were recorded or changed.

    When a list broke off, raises `ListingFailed` after all channels: the next run reads the list again.
    """
    recorded, failure = 0, None
    for channel in list_channel_names():
        for served in get_served_channels(channel):
            try:
                recorded += _record_refunds_of(served)
            except ListingFailed as error:
                log.warning("refund.list_broke_off", **_describe(served), reason=str(error))
                failure = error
    if failure is not None:
        raise failure
    return recorded


def _describe(served: GuardedChannel) -> dict[str, str]:
    account = served.account
    return {"channel": served.name, "environment": account.environment, "channel_account": account.label}


def _record_refunds_of(served: GuardedChannel) -> int:
    recorded = 0
    for refund in _find_unreported_refunds(served):
        # Not `is_current`: a webhook may have arrived since the list was read. A query decides a contradiction.
        effect = apply_listed_refund(
            update=refund,
            source=UpdateSource.of(served),
            payment_reference=refund.payment_reference,
            is_current=False,
        )
        recorded += effect == UpdateEffect.APPLIED
    if recorded:
        log.warning("refund.found_unreported", **_describe(served), count=recorded)
    return recorded


def _find_unreported_refunds(served: GuardedChannel) -> Iterator[ChannelRefund]:
    """The listed refunds that we do not know, or know with another outcome. Raises `ListingFailed`: those before it
    are valid."""
    listing = get_capabilities(served.name).listing
    if listing is ListingSource.NONE:
        return
    has_statements = listing is ListingSource.DAILY_STATEMENT
    until = timezone.now() + (-STATEMENT_DELAY if has_statements else CLOCK_MARGIN)
    since = until - dt.timedelta(days=LOOK_BACK_DAYS)
    window = ListingWindow(served.account, since, until, LISTING_TIMEOUT_SECONDS)
    refunds = get_refunds(served.name, served.account.environment, served.account.id)
    for batch in split_into_batches(islice(served.list_refunds(window), MAX_LISTED)):
        rows = find_listed_refunds(refunds, batch)
        for entry in batch:
            row = choose_row(rows, entry.value)
            if row is None or not has_listed_outcome(row, entry.value):
                yield entry.value
