"""Finds the object of any number or e-mail. Each lookup uses a unique or partial index."""

import uuid
from collections.abc import Iterator

from django.db.models import Model, QuerySet
from django.urls import reverse

from channels.registry import list_channel_names
from gateway.models import ChannelEvent, Payment, Refund
from merchants.models import Environment, Merchant
from orders.models import Order
from sagas.models import SagaInstance


def find_address(term: str) -> str:
    """Returns the page of the object that `term` names, or a list when it names several; empty when none."""
    term = term.strip()
    if not term or len(term) > 255 or "\0" in term:
        return ""
    for rows in _lookups(term):
        found = list(rows[:2])
        if len(found) == 1:
            return _page_url(found[0])
        if found:
            name = f"admin:{rows.model._meta.app_label}_{rows.model._meta.model_name}_changelist"
            return f"{reverse(name, query={'q': term})}"
    return ""


def _lookups(term: str) -> Iterator[QuerySet[Model]]:
    upper = term.upper()
    if upper.startswith("PAY-"):
        yield Payment.objects.filter(payment_no=upper)
    if upper.startswith("REF-"):
        yield Refund.objects.filter(refund_no=upper)
    if (parsed := _uuid(term)) is not None:
        for model in (SagaInstance, Refund, Payment, Order, Merchant, ChannelEvent):
            yield model.objects.filter(pk=parsed)
    if "@" in term:
        yield Merchant.objects.filter(email=term)
        yield Merchant.objects.filter(email=term.lower())
    yield from _foreign_numbers(term)


def _foreign_numbers(term: str) -> Iterator[QuerySet[Model]]:
    """Numbers of merchants and channels, which have no fixed pattern."""
    yield Payment.objects.filter(channel_trade_no=term).exclude(channel_trade_no="")
    yield Payment.objects.filter(order_no=term, environment__in=Environment.values)
    yield Order.objects.filter(order_no=term, environment__in=Environment.values)
    yield ChannelEvent.objects.filter(event_id=term, channel__in=list_channel_names())
    yield SagaInstance.objects.filter(business_id=term)


def _page_url(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
