"""Compares a channel's own listing with our books, both ways. It lists differences and changes nothing: what is right
is for a person, or for the janitor's next question, to find out.

Memory is bounded: both sides go by in batches, and the references that the channel has listed are remembered in a
temporary table.
"""

import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from django.db import connection
from django.db.models import Model, Q, QuerySet

from channels.base import (
    LIVE,
    TEST,
    ChannelPayment,
    ChannelRefund,
    ListingEntry,
    ListingWindow,
    PaymentState,
    RefundState,
)
from channels.registry import ChannelNotAvailable, get_channel, is_sandbox_channel
from gateway.models import PaymentAttempt, PaymentStatus, Refund, RefundOrigin, RefundStatus

BATCH = 500
# The channel writes its row a moment after ours, and by its own clock.
MARGIN = dt.timedelta(hours=1)
LISTING_TIMEOUT_SECONDS = 30.0

M = TypeVar("M", bound=Model)
T = TypeVar("T")


class Kind(enum.StrEnum):
    """`missing_here`: the channel lists what we do not know. `missing_there`: we know what it does not list."""

    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"
    AMOUNT = "amount"
    CURRENCY = "currency"
    STATE = "state"
    CAPTURED = "captured"
    REFUND_MISSING_HERE = "refund_missing_here"
    REFUND_MISSING_THERE = "refund_missing_there"
    REFUND_AMOUNT = "refund_amount"
    REFUND_CURRENCY = "refund_currency"
    REFUND_STATE = "refund_state"


@dataclass(frozen=True, slots=True)
class Difference:
    kind: Kind
    environment: str
    reference: str
    ours: str
    theirs: str
    channel_no: str = ""  # the channel's own number, to look it up there


@dataclass(slots=True)
class Tally:
    """How many entries of the channel's listing were compared."""

    payments: int = 0
    refunds: int = 0


_OWN_STATES: dict[str, tuple[PaymentState, ...]] = {
    PaymentStatus.PENDING: (PaymentState.OPEN,),
    PaymentStatus.PROCESSING: (PaymentState.PROCESSING,),
    PaymentStatus.AUTHORIZED: (PaymentState.AUTHORIZED,),
    PaymentStatus.SUCCEEDED: (PaymentState.PAID,),
    PaymentStatus.FAILED: (PaymentState.DECLINED, PaymentState.CANCELLED),
    PaymentStatus.CANCELLED: (PaymentState.CANCELLED, PaymentState.DECLINED),
    PaymentStatus.EXPIRED: (PaymentState.CANCELLED, PaymentState.DECLINED),
}
_REFUND_STATES: dict[str, RefundState] = {
    RefundStatus.PENDING: RefundState.PENDING,
    RefundStatus.PROCESSING: RefundState.PENDING,
    RefundStatus.SUCCEEDED: RefundState.SUCCEEDED,
    RefundStatus.FAILED: RefundState.FAILED,
}


def environments_of(channel: str) -> list[str]:
    """Where the channel itself, and not the simulator in its place, serves. Raises `UnknownChannel`."""
    found = []
    for environment in (TEST, LIVE):
        try:
            served = get_channel(channel, environment)
        except ChannelNotAvailable:
            continue
        if not served.sandbox:
            found.append(environment)
    return found


def differences(
    *, channel: str, environment: str, since: dt.datetime, until: dt.datetime, tally: Tally
) -> Iterator[Difference]:
    """What was created from `since` on and before `until`.

    Raises `UnknownChannel`, `ChannelNotAvailable`, and `ListingFailed`: what came before it stands.
    """
    asked = get_channel(channel, environment).channel
    window = ListingWindow(environment, since - MARGIN, until + MARGIN, LISTING_TIMEOUT_SECONDS)
    attempts, refunds = _attempts_of(channel, environment), _refunds_of(channel, environment)
    with _memory():
        for payments in _batches(asked.list_payments(window)):
            references = [entry.value.reference for entry in payments]
            _remember(references)
            known = {row.reference: row for row in attempts.filter(reference__in=references)}
            for payment in _within(payments, since, until):
                tally.payments += 1
                yield from _payment(environment, payment, known.get(payment.reference))
        rows = attempts.filter(created_at__gte=since, created_at__lt=until).exclude(channel_trade_no="")
        for attempt in _unlisted(rows):
            ours = f"{attempt.payment.status} {attempt.channel_trade_no}"
            yield Difference(
                Kind.MISSING_THERE, environment, attempt.reference, ours, "", attempt.channel_trade_no
            )
    with _memory():
        for listed in _batches(asked.list_refunds(window)):
            _remember(name for entry in listed for name in _names_of(entry.value))
            known_refunds = _known_refunds(refunds, listed)
            for refund in _within(listed, since, until):
                tally.refunds += 1
                yield from _refund(environment, refund, _same_refund(known_refunds, refund))
        rows_of_refunds = refunds.filter(created_at__gte=since, created_at__lt=until)
        for row in _unlisted(rows_of_refunds.exclude(channel_refund_no="")):
            ours = f"{row.status} {row.channel_refund_no}"
            yield Difference(
                Kind.REFUND_MISSING_THERE, environment, row.refund_no, ours, "", row.channel_refund_no
            )


def unreported_refunds(
    *, channel: str, environment: str, since: dt.datetime, until: dt.datetime, at_most: int
) -> Iterator[ChannelRefund]:
    """Of at most `at_most` refunds that the channel lists, newest first where it lists them so: those that our books do
    not know, or know with another outcome.

    Raises `UnknownChannel`, `ChannelNotAvailable`, and `ListingFailed`: what came before it stands.
    """
    asked = get_channel(channel, environment).channel
    window = ListingWindow(environment, since, until, LISTING_TIMEOUT_SECONDS)
    refunds = _refunds_of(channel, environment)
    for listed in _batches(islice(asked.list_refunds(window), at_most)):
        known = _known_refunds(refunds, listed)
        for entry in listed:
            row = _same_refund(known, entry.value)
            if row is None or not _has_outcome(row, entry.value):
                yield entry.value


# --- Comparing one entry ----------------------------------------------------------------------------------------


def _payment(
    environment: str, update: ChannelPayment, attempt: PaymentAttempt | None
) -> Iterator[Difference]:
    if attempt is None:
        theirs = f"{update.state} {update.amount_minor} {update.currency}"
        yield Difference(
            Kind.MISSING_HERE, environment, update.reference, "", theirs, update.channel_trade_no
        )
        return
    payment = attempt.payment
    is_own = attempt.reference == payment.reference
    taken = payment.captured_minor if is_own else attempt.surplus_minor
    if taken:
        states: tuple[PaymentState, ...] = (PaymentState.PAID,)
    elif is_own:
        states = _OWN_STATES[payment.status]
    else:
        states = (PaymentState.DECLINED, PaymentState.CANCELLED)
    yield from _unequal(
        environment,
        update.reference,
        update.channel_trade_no,
        (Kind.AMOUNT, payment.amount_minor, update.amount_minor, payment.amount_minor == update.amount_minor),
        (Kind.CURRENCY, payment.currency, update.currency, payment.currency == update.currency.upper()),
        (Kind.STATE, payment.status if is_own else "given up", update.state, update.state in states),
        (Kind.CAPTURED, taken, update.captured_minor, taken == update.captured_minor),
    )


def _refund(environment: str, update: ChannelRefund, refund: Refund | None) -> Iterator[Difference]:
    if refund is None:
        theirs = f"{update.state} {update.amount_minor} {update.currency}"
        yield Difference(
            Kind.REFUND_MISSING_HERE, environment, update.reference, "", theirs, update.channel_refund_no
        )
        return
    yield from _unequal(
        environment,
        refund.refund_no,
        update.channel_refund_no,
        (
            Kind.REFUND_AMOUNT,
            refund.amount_minor,
            update.amount_minor,
            refund.amount_minor == update.amount_minor,
        ),
        (Kind.REFUND_CURRENCY, refund.currency, update.currency, refund.currency == update.currency.upper()),
        (Kind.REFUND_STATE, refund.status, update.state, _has_outcome(refund, update)),
    )


def _has_outcome(refund: Refund, update: ChannelRefund) -> bool:
    # What did not fit into what was left to refund was opened for review: it is no news.
    return update.state == _REFUND_STATES[refund.status] or refund.late_refunded_minor > 0


def _unequal(
    environment: str,
    reference: str,
    channel_no: str,
    *compared: tuple[Kind, str | int, str | int, bool],
) -> Iterator[Difference]:
    for kind, ours, theirs, agree in compared:
        if not agree:
            yield Difference(kind, environment, reference, str(ours), str(theirs), channel_no)


# --- Both sides, a batch at a time ------------------------------------------------------------------------------


def _attempts_of(channel: str, environment: str) -> QuerySet[PaymentAttempt]:
    return PaymentAttempt.objects.filter(
        _serves("", channel), payment__environment=environment
    ).select_related("payment")


def _refunds_of(channel: str, environment: str) -> QuerySet[Refund]:
    own = Q(surplus_of=None) & _serves("payment__", channel)
    surplus = Q(surplus_of__isnull=False) & _serves("surplus_of__", channel)
    return Refund.objects.filter(own | surplus, environment=environment)


def _serves(path: str, channel: str) -> Q:
    """The simulator's books also hold what it did in the place of others."""
    named = Q(**{f"{path}channel": channel})
    in_its_place = Q(**{f"{path}sandbox": True})
    return named | in_its_place if is_sandbox_channel(channel) else named & ~in_its_place


def _within(batch: list[ListingEntry[T]], since: dt.datetime, until: dt.datetime) -> Iterator[T]:
    return (entry.value for entry in batch if since <= entry.created_at < until)


def _remember(names: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO reconciled (reference) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            [list(names)],
        )


def _names_of(update: ChannelRefund) -> tuple[str, str]:
    return update.reference, update.channel_refund_no


def _known_refunds(
    refunds: QuerySet[Refund], listed: Sequence[ListingEntry[ChannelRefund]]
) -> dict[str, Refund]:
    """Our rows of what the channel listed, by what both sides know them by."""
    names = [name for entry in listed for name in _names_of(entry.value) if name]
    either = Q(refund_no__in=names) | Q(origin=RefundOrigin.CHANNEL, channel_refund_no__in=names)
    return {_name(row): row for row in refunds.filter(either)}


def _same_refund(known: Mapping[str, Refund], update: ChannelRefund) -> Refund | None:
    """A second refund under one number of ours is another one (ADR 19)."""
    row = known.get(update.reference) if update.reference else None
    if row is not None and row.channel_refund_no in ("", update.channel_refund_no):
        return row
    return known.get(update.channel_refund_no)


def _unlisted(rows: QuerySet[M]) -> Iterator[M]:
    """Of our rows, oldest first, those that the channel has not listed."""
    after = None
    while True:
        later = rows.filter(pk__gt=after) if after is not None else rows
        batch = list(later.order_by("pk")[:BATCH])
        if not batch:
            return
        listed = _listed([_name(row) for row in batch])
        yield from (row for row in batch if _name(row) not in listed)
        after = batch[-1].pk


def _name(row: Model) -> str:
    """What both sides know it by: a refund that was made at the channel has the channel's number alone."""
    if isinstance(row, Refund) and row.origin == RefundOrigin.CHANNEL:
        return row.channel_refund_no
    return row.reference if isinstance(row, PaymentAttempt) else str(row)


def _listed(references: list[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reference FROM reconciled WHERE reference = ANY(%s)", [references])
        return {reference for (reference,) in cursor.fetchall()}


def _batches(entries: Iterator[T]) -> Iterator[list[T]]:
    while batch := list(islice(entries, BATCH)):
        yield batch


@contextmanager
def _memory() -> Iterator[None]:
    """Lives in this session alone, and without a transaction: none is open while the channel is read."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE reconciled (reference text PRIMARY KEY)")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE reconciled")
