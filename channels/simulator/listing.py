"""Lists the bank's payments and refunds of a time window, oldest first, one page at a time."""

import datetime as dt
from collections.abc import Iterator
from typing import TypeVar

from django.db import DatabaseError, InterfaceError
from django.db.models import Q, QuerySet

from channels.base import (
    ChannelPayment,
    ChannelRefund,
    ListingEntry,
    ListingFailed,
    ListingWindow,
    PaymentOrigin,
)
from channels.simulator import ledger
from channels.simulator.models import SimulatedPayment, SimulatedRefund

PAGE = 500

R = TypeVar("R", SimulatedPayment, SimulatedRefund)


def list_payments(window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
    """Lists the payments that were created, without tombstones. Raises `ListingFailed`."""
    created = SimulatedPayment.objects.filter(create_key__isnull=False, environment=window.environment)
    for row in _read_pages(created, window):
        origin = PaymentOrigin(row.merchant_id, row.order_no) if row.merchant_id else None
        yield ListingEntry(ledger.to_channel_payment(row), row.created_at, origin)


def list_refunds(window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
    """Raises `ListingFailed`."""
    for row in _read_pages(SimulatedRefund.objects.filter(payment__environment=window.environment), window):
        yield ListingEntry(ledger.to_channel_refund(row), row.created_at)


def _read_pages(rows: QuerySet[R], window: ListingWindow) -> Iterator[R]:
    rows = rows.filter(created_at__gte=window.since, created_at__lt=window.until)
    after: tuple[dt.datetime, str] | None = None
    while page := _read_page(rows, after):
        yield from page
        after = page[-1].created_at, page[-1].reference


def _read_page(rows: QuerySet[R], after: tuple[dt.datetime, str] | None) -> list[R]:
    if after is not None:
        moment, reference = after
        rows = rows.filter(Q(created_at__gt=moment) | Q(created_at=moment, reference__gt=reference))
    try:
        return list(rows.order_by("created_at", "reference")[:PAGE])
    except (DatabaseError, InterfaceError) as error:
        raise ListingFailed(f"the simulator's ledger could not be read: {type(error).__name__}") from error
