"""Lists the differences between a channel's list and ours. A person, or the next query of the poller, decides which
side is right."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import QuerySet

from channel_accounts.serving import get_channel_for_attempt, get_channels_of_accounts
from channels.base import LIVE, TEST, ChannelAccount, ListingEntry, ListingSource, ListingWindow
from channels.guard import GuardedChannel
from channels.registry import ChannelNotAvailable, get_capabilities, get_channel
from gateway.models import PaymentAttempt, Refund
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
    select_paid_within,
)

# The channel creates its row a moment after ours, and by its own clock.
CLOCK_MARGIN = dt.timedelta(hours=1)
# A statement has the time of the payment; ours is when we learned of it: by webhook, or by a query much later.
LEARNED_WITHIN = dt.timedelta(days=1)
LISTING_TIMEOUT_SECONDS = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReconciliationScope:
    """The payments and refunds to compare: of one account at a channel, created from `since` on and before `until`.
    An account of None is the platform's own.

    A daily statement lists what was paid and refunded on a day, not what was created. Our payments are then those that
    were paid in the period, and none of the next day's statement is needed, which may not exist yet.
    """

    channel: str
    environment: str
    since: dt.datetime
    until: dt.datetime
    account_id: uuid.UUID | None = None

    @property
    def has_statements(self) -> bool:
        return get_capabilities(self.channel).listing is ListingSource.DAILY_STATEMENT

    def build_window(self, account: ChannelAccount) -> ListingWindow:
        if self.has_statements:
            return ListingWindow(account, self.since - LEARNED_WITHIN, self.until, LISTING_TIMEOUT_SECONDS)
        return ListingWindow(
            account, self.since - CLOCK_MARGIN, self.until + CLOCK_MARGIN, LISTING_TIMEOUT_SECONDS
        )

    def select_attempts(self, attempts: QuerySet[PaymentAttempt]) -> QuerySet[PaymentAttempt]:
        """Our attempts that the channel must list. Those without `channel_trade_no` may never have reached it."""
        period = (self.since, self.until)
        if self.has_statements:
            return select_paid_within(attempts, *period)
        return attempts.filter(created_at__gte=self.since, created_at__lt=self.until).exclude(
            channel_trade_no=""
        )

    def select_refunds(self, refunds: QuerySet[Refund]) -> QuerySet[Refund]:
        """Our refunds that the channel must list.

        A refund of a day's last minutes is on the next day's statement when the channel executed it a little later.
        With statements the period therefore begins and ends an hour earlier.
        """
        shift = CLOCK_MARGIN if self.has_statements else dt.timedelta()
        return refunds.filter(created_at__gte=self.since - shift, created_at__lt=self.until - shift).exclude(
            channel_refund_no=""
        )


@dataclass(slots=True)
class ComparedCounts:
    """The number of entries of the channel's list that were compared."""

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
        for attempt in listed.find_unlisted(scope.select_attempts(attempts)):
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
        for row in listed.find_unlisted(scope.select_refunds(refunds)):
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
