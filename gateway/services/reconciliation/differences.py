"""Lists the differences between a channel's list and ours. A person, or the next query of the poller, decides which
side is right."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from channel_accounts.serving import get_channel_for_attempt, get_channels_of_accounts
from channels.base import LIVE, TEST, ChannelAccount, ListingEntry, ListingWindow
from channels.guard import GuardedChannel
from channels.registry import ChannelNotAvailable, get_channel
from gateway.services.reconciliation.batches import open_listed_names, split_into_batches
from gateway.services.reconciliation.comparison import (
    Difference,
    DifferenceKind,
    compare_payment,
    compare_refund,
)
from gateway.services.reconciliation.our_rows import (
    choose_row,
    find_listed_refunds,
    get_attempts,
    get_refunds,
)

# The channel creates its row a moment after ours, and by its own clock.
CLOCK_MARGIN = dt.timedelta(hours=1)
LISTING_TIMEOUT_SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReconciliationScope:
    """What is compared: the payments and refunds of one account at a channel, created from `since` on and before
    `until`. An account of None is the platform's own."""

    channel: str
    environment: str
    since: dt.datetime
    until: dt.datetime
    account_id: uuid.UUID | None = None

    def build_window(self, account: ChannelAccount) -> ListingWindow:
        return ListingWindow(
            account, self.since - CLOCK_MARGIN, self.until + CLOCK_MARGIN, LISTING_TIMEOUT_SECONDS
        )


@dataclass(slots=True)
class ComparedCounts:
    """How many entries of the channel's list were compared."""

    payments: int = 0
    refunds: int = 0


def get_served_channels(channel: str) -> list[GuardedChannel]:
    """The channel with each of its accounts, without the simulator in its place: the platform's own ones, then those
    that were added, disabled ones included. Raises `UnknownChannel`."""
    served = []
    for environment in (TEST, LIVE):
        try:
            available = get_channel(channel, environment)
        except ChannelNotAvailable:
            continue
        if not available.sandbox:
            served.append(available.channel)
    return served + get_channels_of_accounts(channel)


def find_differences(*, scope: ReconciliationScope, counts: ComparedCounts) -> Iterator[Difference]:
    """Compares both sides and counts the channel's entries in `counts`.

    Raises `UnknownChannel`, `ChannelNotAvailable`, and `ListingFailed`: the differences before it are valid.
    """
    channel = get_channel_for_attempt(scope.channel, scope.environment, scope.account_id).channel
    yield from _find_payment_differences(channel, scope, counts)
    yield from _find_refund_differences(channel, scope, counts)


def _find_payment_differences(
    channel: GuardedChannel, scope: ReconciliationScope, counts: ComparedCounts
) -> Iterator[Difference]:
    attempts = get_attempts(scope.channel, scope.environment, scope.account_id)
    with open_listed_names() as listed:
        for batch in split_into_batches(channel.list_payments(scope.build_window(channel.account))):
            references = [entry.value.reference for entry in batch]
            listed.add(references)
            rows = {row.reference: row for row in attempts.filter(reference__in=references)}
            for payment in _select_created_within(batch, scope):
                counts.payments += 1
                yield from compare_payment(scope.environment, payment, rows.get(payment.reference))
        # Attempts without `channel_trade_no` are left out: they may never have reached the channel.
        ours = attempts.filter(created_at__gte=scope.since, created_at__lt=scope.until).exclude(
            channel_trade_no=""
        )
        for attempt in listed.find_unlisted(ours):
            status = f"{attempt.payment.status} {attempt.channel_trade_no}"
            yield Difference(
                DifferenceKind.NOT_FOUND_AT_CHANNEL,
                scope.environment,
                attempt.reference,
                status,
                "",
                attempt.channel_trade_no,
            )


def _find_refund_differences(
    channel: GuardedChannel, scope: ReconciliationScope, counts: ComparedCounts
) -> Iterator[Difference]:
    refunds = get_refunds(scope.channel, scope.environment, scope.account_id)
    with open_listed_names() as listed:
        for batch in split_into_batches(channel.list_refunds(scope.build_window(channel.account))):
            listed.add(
                name for entry in batch for name in (entry.value.reference, entry.value.channel_refund_no)
            )
            rows = find_listed_refunds(refunds, batch)
            for refund in _select_created_within(batch, scope):
                counts.refunds += 1
                yield from compare_refund(scope.environment, refund, choose_row(rows, refund))
        ours = refunds.filter(created_at__gte=scope.since, created_at__lt=scope.until).exclude(
            channel_refund_no=""
        )
        for row in listed.find_unlisted(ours):
            status = f"{row.status} {row.channel_refund_no}"
            yield Difference(
                DifferenceKind.REFUND_NOT_FOUND_AT_CHANNEL,
                scope.environment,
                row.refund_no,
                status,
                "",
                row.channel_refund_no,
            )


def _select_created_within(batch: list[ListingEntry[T]], scope: ReconciliationScope) -> Iterator[T]:
    return (entry.value for entry in batch if scope.since <= entry.created_at < scope.until)
