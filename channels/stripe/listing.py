"""What Stripe itself lists, for comparing it with our books."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import stripe

from channels.base import ChannelPayment, ChannelRefund, ListingEntry, ListingFailed, ListingWindow
from channels.stripe import config, lookup, shapes
from channels.stripe.shapes import DIRECT, Shape, Unreadable


def payments(window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
    """Pages and saved cards that were charged. Raises `ListingFailed`."""
    api = config.client(window.environment, window.timeout_seconds)
    try:
        for session in _all(api.v1.checkout.sessions.list(_page(window, expand=["data.payment_intent"]))):
            if session.get("amount_total") is not None:
                yield ListingEntry(shapes.payment_of_session(session, window.environment), _created(session))
        for intent in _all(api.v1.payment_intents.list(_page(window))):
            if (intent.get("metadata") or {}).get(DIRECT):
                yield ListingEntry(shapes.payment_of_intent(intent, window.environment), _created(intent))
    except (stripe.StripeError, Unreadable) as error:
        raise ListingFailed(f"Stripe's list of payments broke off: {error}") from error


def refunds(window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
    """Raises `ListingFailed`."""
    api = config.client(window.environment, window.timeout_seconds)
    try:
        # The refund of the dashboard does not say whose it is; its PaymentIntent does.
        for refund in _all(api.v1.refunds.list(_page(window, expand=["data.payment_intent"]))):
            yield ListingEntry(shapes.refund_of(refund, window.environment), _created(refund))
    except (stripe.StripeError, Unreadable) as error:
        raise ListingFailed(f"Stripe's list of refunds broke off: {error}") from error


def _page(window: ListingWindow, **more: Any) -> Any:
    created = {"gte": int(window.since.timestamp()), "lt": int(window.until.timestamp())}
    return {"created": created, "limit": lookup.PAGE, **more}


def _all(first_page: Any) -> Iterator[Shape]:
    for item in first_page.auto_paging_iter():
        yield item.to_dict()


def _created(shape: Shape) -> dt.datetime:
    return dt.datetime.fromtimestamp(shape["created"], dt.UTC)
