"""Our attempts and refunds at a channel, and the names by which both sides know them."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence

from django.db.models import Model, Q, QuerySet, Value
from django.db.models.functions import Coalesce, NullIf

from channels.base import ChannelRefund, ListingEntry
from channels.registry import is_sandbox_channel
from gateway.models import PaymentAttempt, Refund, RefundOrigin


def get_attempts(channel: str, environment: str, account_id: uuid.UUID | None) -> QuerySet[PaymentAttempt]:
    at_channel = _at_channel("", channel, account_id)
    return PaymentAttempt.objects.filter(at_channel, payment__environment=environment).select_related(
        "payment"
    )


def get_refunds(channel: str, environment: str, account_id: uuid.UUID | None) -> QuerySet[Refund]:
    of_payment = Q(duplicate_attempt=None) & _at_channel("payment__", channel, account_id)
    of_duplicate_payment = Q(duplicate_attempt__isnull=False) & _at_channel(
        "duplicate_attempt__", channel, account_id
    )
    return Refund.objects.filter(of_payment | of_duplicate_payment, environment=environment)


def select_paid_within(
    attempts: QuerySet[PaymentAttempt], since: dt.datetime, until: dt.datetime
) -> QuerySet[PaymentAttempt]:
    """The attempts that took money in the period: the payment's own, and duplicate payments of other attempts."""
    is_current = Q(reference=Coalesce(NullIf("payment__channel_reference", Value("")), "payment__payment_no"))
    own = Q(payment__captured_minor__gt=0, payment__paid_at__gte=since, payment__paid_at__lt=until)
    duplicate = Q(duplicate_minor__gt=0, finished_at__gte=since, finished_at__lt=until)
    return attempts.filter(is_current & own | ~is_current & duplicate)


def _at_channel(path: str, channel: str, account_id: uuid.UUID | None) -> Q:
    """The simulator also lists what it did in the place of other channels (`sandbox`), for the platform's account."""
    is_named = Q(**{f"{path}channel": channel, f"{path}channel_account": account_id})
    is_sandbox = Q(**{f"{path}sandbox": True})
    if account_id is None and is_sandbox_channel(channel):
        return is_named | is_sandbox
    return is_named & ~is_sandbox


def get_listed_name(row: Model) -> str:
    """The name under which the channel lists the row. A refund that was made at the channel has only the channel's
    number."""
    if isinstance(row, Refund) and row.origin == RefundOrigin.CHANNEL:
        return row.channel_refund_no
    return row.reference if isinstance(row, PaymentAttempt) else str(row)


def find_listed_refunds(
    refunds: QuerySet[Refund], listed: Sequence[ListingEntry[ChannelRefund]]
) -> dict[str, Refund]:
    """Our rows of the listed refunds, by the names under which the channel lists them."""
    names = [
        name for entry in listed for name in (entry.value.reference, entry.value.channel_refund_no) if name
    ]
    is_listed = Q(refund_no__in=names) | Q(origin=RefundOrigin.CHANNEL, channel_refund_no__in=names)
    return {get_listed_name(row): row for row in refunds.filter(is_listed)}


def choose_row(rows: Mapping[str, Refund], listed: ChannelRefund) -> Refund | None:
    """The row of one listed refund. A second refund that the channel made under one number of ours has a row of its
    own (ADR 19)."""
    row = rows.get(listed.reference) if listed.reference else None
    if row is not None and row.channel_refund_no in ("", listed.channel_refund_no):
        return row
    return rows.get(listed.channel_refund_no)
