"""Lists Stripe's payments and refunds of a time window, for reconciliation."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import stripe

from channels.base import (
    ChannelPayment,
    ChannelRefund,
    ListingEntry,
    ListingFailed,
    ListingWindow,
    UnexpectedFormat,
)
from channels.stripe import config, lookup
from channels.stripe.fields import StripeJson
from channels.stripe.metadata import is_direct, read_origin
from channels.stripe.payment_objects import read_payment_intent, read_session
from channels.stripe.refund_objects import read_refund


def list_payments(window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
    """Lists Checkout Sessions, and PaymentIntents that charged a saved card. Raises `ListingFailed`."""
    try:
        api = config.build_client(window.account, window.timeout_seconds)
        params = _build_params(window, expand=["data.payment_intent"])
        for session in _read_all(api.v1.checkout.sessions.list(params)):
            if session.get("amount_total") is not None:
                yield _build_entry(read_session(session, window.environment), session, window)
        for intent in _read_all(api.v1.payment_intents.list(_build_params(window))):
            if is_direct(intent):
                yield _build_entry(read_payment_intent(intent, window.environment), intent, window)
    except (stripe.StripeError, UnexpectedFormat) as error:
        raise ListingFailed(f"Stripe's list of payments was not read completely: {error}") from error


def list_refunds(window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
    """Raises `ListingFailed`."""
    try:
        api = config.build_client(window.account, window.timeout_seconds)
        # A refund made in the dashboard does not name our payment; its PaymentIntent does.
        params = _build_params(window, expand=["data.payment_intent"])
        for refund in _read_all(api.v1.refunds.list(params)):
            yield ListingEntry(read_refund(refund, window.environment), _read_created_at(refund))
    except (stripe.StripeError, UnexpectedFormat) as error:
        raise ListingFailed(f"Stripe's list of refunds was not read completely: {error}") from error


def _build_entry(
    payment: ChannelPayment, fields: StripeJson, window: ListingWindow
) -> ListingEntry[ChannelPayment]:
    return ListingEntry(payment, _read_created_at(fields), read_origin(fields, window.environment))


def _build_params(window: ListingWindow, **more: Any) -> Any:
    created = {"gte": int(window.since.timestamp()), "lt": int(window.until.timestamp())}
    return {"created": created, "limit": lookup.PAGE_SIZE, **more}


def _read_all(first_page: Any) -> Iterator[StripeJson]:
    for item in first_page.auto_paging_iter():
        yield item.to_dict()


def _read_created_at(fields: StripeJson) -> dt.datetime:
    return dt.datetime.fromtimestamp(fields["created"], dt.UTC)
