"""Compares the lists of all channels since a restore point with our rows, adopts what we do not know, and updates what
we know in an older state. Repeating it changes nothing more."""

import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import structlog
from django.db.models.functions import Now

from channels.base import (
    ChannelPayment,
    ChannelRefund,
    ListingEntry,
    ListingFailed,
    ListingSource,
    PaymentRef,
    Reported,
)
from channels.guard import GuardedChannel
from channels.registry import get_capabilities, list_channel_names
from gateway.models import (
    OPEN_PAYMENT_STATUSES,
    OPEN_REFUND_STATUSES,
    Payment,
    PaymentAttempt,
    Refund,
    read_attempt_reference,
)
from gateway.selectors import find_payment_by_reference, has_refund
from gateway.services.adoption.known_payments import query_refunded_payment, update_known_payment
from gateway.services.adoption.lost_payments import AdoptionOutcome, LostPayment, adopt_payment
from gateway.services.adoption.origins import Origin, choose_origin
from gateway.services.channel_queries import QUERY_TIMEOUT_SECONDS, try_query_refund
from gateway.services.channel_updates.references import is_from_own_channel
from gateway.services.channel_updates.refunds import apply_listed_refund
from gateway.services.reconciliation.batches import split_into_batches
from gateway.services.reconciliation.comparison import compare_payment, has_listed_outcome
from gateway.services.reconciliation.differences import ReconciliationScope, get_served_channels
from gateway.services.reconciliation.our_rows import (
    choose_row,
    find_listed_refunds,
    get_attempts,
    get_refunds,
)
from gateway.update_source import UpdateSource

log = structlog.get_logger(__name__)


class FindingKind(enum.StrEnum):
    ADOPTED = "adopted"
    UPDATED = "updated"  # our row was older than what the channel has
    NEEDS_REVIEW = "needs_review"  # the row differs still, and the payment has an open review
    DIFFERS = "differs"  # the row differs still: the channel gave no answer, or a saga works on it
    NOT_ADOPTED = "not_adopted"  # `reason` says why
    LIST_UNREAD = "list_unread"


# These need another run, or a person.
UNFINISHED = (FindingKind.DIFFERS, FindingKind.NOT_ADOPTED, FindingKind.LIST_UNREAD)


@dataclass(frozen=True, slots=True)
class Finding:
    kind: FindingKind
    channel: str
    environment: str
    reference: str = ""
    channel_no: str = ""
    amount_minor: int = 0
    currency: str = ""
    reason: str = ""


class Counted(enum.Enum):
    """An entry that is counted and makes no finding."""

    AGREES = enum.auto()
    FOREIGN = enum.auto()  # without a number of ours


@dataclass(slots=True)
class ListedCounts:
    """How many entries of the channels' lists were read, and how many of them agreed or were not ours."""

    payments: int = 0
    refunds: int = 0
    agreed: int = 0
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Restore:
    """The database was restored to `moment`. `origins` are the operator's (`read_origins`)."""

    moment: dt.datetime
    until: dt.datetime
    origins: Mapping[str, Origin]


def reconcile_since_restore(*, restore: Restore, counts: ListedCounts) -> Iterator[Finding]:
    """All payments first: a refund needs its payment. A list that breaks off stops neither the next account nor the
    refunds."""
    served_channels = [
        served
        for name in list_channel_names()
        if get_capabilities(name).listing is not ListingSource.NONE
        for served in get_served_channels(name)
    ]
    for served in served_channels:
        yield from _report_unread(served, _reconcile_payments(served, restore, counts))
    for served in served_channels:
        yield from _report_unread(served, _reconcile_refunds(served, restore, counts))
        schedule_queries(served)


def schedule_queries(served: GuardedChannel) -> None:
    """Has the poller query every open payment and refund of the account soon: those that are older than the window may
    have been paid, captured or cancelled since the restore point. A saga that is at work queries by itself."""
    account = served.account
    attempts = get_attempts(served.name, account.environment, account.id)
    payments = attempts.filter(
        payment__status__in=OPEN_PAYMENT_STATUSES, payment__next_check_at__isnull=False
    )
    Payment.objects.filter(id__in=payments.values("payment_id")).update(next_check_at=Now(), check_count=0)
    get_refunds(served.name, account.environment, account.id).filter(
        status__in=OPEN_REFUND_STATUSES, next_check_at__isnull=False
    ).update(next_check_at=Now(), check_count=0)


def _report_unread(served: GuardedChannel, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except ListingFailed as error:
        yield Finding(FindingKind.LIST_UNREAD, served.name, served.account.environment, reason=str(error))


# --- Payments ---------------------------------------------------------------------------------------


def _reconcile_payments(served: GuardedChannel, restore: Restore, counts: ListedCounts) -> Iterator[Finding]:
    window = _build_scope(served, restore).build_window(served.account)
    for batch in split_into_batches(served.list_payments(window)):
        references = [entry.value.reference for entry in batch]
        rows = {
            row.reference: row
            for row in PaymentAttempt.objects.filter(reference__in=references).select_related("payment")
        }
        for entry in batch:
            counts.payments += 1
            row = rows.get(entry.value.reference)
            found = (
                _adopt(served, restore, entry)
                if row is None
                else _update_payment(served, restore, row, entry.value)
            )
            yield from _count(found, counts)


def _adopt(
    served: GuardedChannel, restore: Restore, entry: ListingEntry[ChannelPayment]
) -> Finding | Counted:
    named = read_attempt_reference(entry.value.reference)
    if named is None:
        return Counted.FOREIGN
    payment_no, number = named
    lost = LostPayment(
        payment_no=payment_no,
        number=number,
        environment=served.account.environment,
        update=_query_listed_payment(served, entry.value),
        created_at=entry.created_at,
        source=UpdateSource.of(served),
        origin=choose_origin(payment_no, entry.origin, served, restore.origins),
        restored_to=restore.moment,
    )
    outcome = adopt_payment(lost=lost)
    if outcome is AdoptionOutcome.KNOWN:
        return Counted.AGREES
    if outcome is AdoptionOutcome.ADOPTED:
        return _describe_payment(served, entry.value, FindingKind.ADOPTED)
    return _describe_payment(served, entry.value, FindingKind.NOT_ADOPTED, _describe_outcome(outcome, lost))


def _query_listed_payment(served: GuardedChannel, listed: ChannelPayment) -> ChannelPayment:
    """The payment as the channel has it now: a list may be hours old, and may name a capture instead of the payment.
    Where the channel finds nothing by its own number alone, the list counts."""
    ref = PaymentRef("", served.account, QUERY_TIMEOUT_SECONDS, listed.channel_trade_no)
    found = served.find_payment(ref) if listed.channel_trade_no else None
    if isinstance(found, Reported) and found.value.reference == listed.reference:
        return found.value
    return listed


def _describe_outcome(outcome: AdoptionOutcome, lost: LostPayment) -> str:
    if outcome is AdoptionOutcome.NO_MERCHANT and lost.origin.merchant_id:
        return f"no_merchant: {lost.origin.merchant_id} does not exist here; name another one with --origins"
    if outcome is AdoptionOutcome.NO_MERCHANT:
        return "no_merchant: the channel does not keep whose it is; say it with --origins"
    return outcome.value


def _update_payment(
    served: GuardedChannel, restore: Restore, attempt: PaymentAttempt, listed: ChannelPayment
) -> Finding | Counted:
    payment, source = attempt.payment, UpdateSource.of(served)
    is_own = is_from_own_channel(source, attempt, payment.environment)
    if not is_own or payment.environment != served.account.environment:
        reason = f"our attempt of this name is at {attempt.channel}, {payment.environment}"
        return _describe_payment(served, listed, FindingKind.NOT_ADOPTED, reason)
    if not _differs(attempt, listed):
        return Counted.AGREES
    update_known_payment(attempt=attempt, listed=listed, source=source, restored_to=restore.moment)
    attempt.refresh_from_db()
    if not _differs(attempt, listed):
        return _describe_payment(served, listed, FindingKind.UPDATED)
    is_in_review = attempt.payment.needs_attention
    return _describe_payment(
        served, listed, FindingKind.NEEDS_REVIEW if is_in_review else FindingKind.DIFFERS
    )


def _differs(attempt: PaymentAttempt, listed: ChannelPayment) -> bool:
    return any(compare_payment(attempt.payment.environment, listed, attempt))


def _describe_payment(
    served: GuardedChannel, listed: ChannelPayment, kind: FindingKind, reason: str = ""
) -> Finding:
    return Finding(
        kind,
        served.name,
        served.account.environment,
        listed.reference,
        listed.channel_trade_no,
        listed.amount_minor or listed.captured_minor,
        listed.currency.upper(),
        reason,
    )


# --- Refunds ----------------------------------------------------------------------------------------


def _reconcile_refunds(served: GuardedChannel, restore: Restore, counts: ListedCounts) -> Iterator[Finding]:
    window = _build_scope(served, restore).build_window(served.account)
    ours = get_refunds(served.name, served.account.environment, served.account.id)
    for batch in split_into_batches(served.list_refunds(window)):
        rows = find_listed_refunds(ours, batch)
        for entry in batch:
            counts.refunds += 1
            row = choose_row(rows, entry.value)
            found = (
                _adopt_refund(served, restore, entry.value)
                if row is None
                else _update_refund(served, row, entry.value)
            )
            yield from _count(found, counts)


def _adopt_refund(served: GuardedChannel, restore: Restore, listed: ChannelRefund) -> Finding | Counted:
    reference, source = listed.payment_reference, UpdateSource.of(served)
    payment = find_payment_by_reference(reference) if reference else None
    if payment is None and read_attempt_reference(reference) is None:
        return Counted.FOREIGN
    if payment is not None:
        query_refunded_payment(
            payment=payment, reference=reference, source=source, restored_to=restore.moment
        )
    apply_listed_refund(update=listed, source=source, payment_reference=reference, is_current=False)
    if has_refund(reference="", source=source, number=listed.channel_refund_no):
        return _describe_refund(served, listed, FindingKind.ADOPTED)
    if payment is None:
        return _describe_refund(served, listed, FindingKind.NOT_ADOPTED, "its payment is not known here")
    payment.refresh_from_db()
    kind = FindingKind.NEEDS_REVIEW if payment.needs_attention else FindingKind.DIFFERS
    return _describe_refund(served, listed, kind)


def _update_refund(served: GuardedChannel, refund: Refund, listed: ChannelRefund) -> Finding | Counted:
    if has_listed_outcome(refund, listed):
        return Counted.AGREES
    try_query_refund(refund)
    refund.refresh_from_db()
    kind = FindingKind.UPDATED if has_listed_outcome(refund, listed) else FindingKind.DIFFERS
    return _describe_refund(served, listed, kind)


def _describe_refund(
    served: GuardedChannel, listed: ChannelRefund, kind: FindingKind, reason: str = ""
) -> Finding:
    return Finding(
        kind,
        served.name,
        served.account.environment,
        listed.reference or listed.payment_reference,
        listed.channel_refund_no,
        listed.amount_minor,
        listed.currency.upper(),
        reason,
    )


def _build_scope(served: GuardedChannel, restore: Restore) -> ReconciliationScope:
    account = served.account
    return ReconciliationScope(served.name, account.environment, restore.moment, restore.until, account.id)


def _count(found: Finding | Counted, counts: ListedCounts) -> Iterator[Finding]:
    match found:
        case Counted.AGREES:
            counts.agreed += 1
        case Counted.FOREIGN:
            counts.foreign += 1
        case Finding():
            yield found
