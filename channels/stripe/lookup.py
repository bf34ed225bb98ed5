"""Finds a payment at Stripe: by Stripe's id, or by our number when the answer to its creation was lost.

Stripe's search is behind by up to a minute, more in an outage, and not offered everywhere; lists are never behind. So
the lists of the time in which the payment was made are read, and only what is older is searched for. What neither
knows is missing. While the key of a creation lives, repeating it is the better way to ask: see `ChannelLimits`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

import stripe
import structlog

from channels.base import ChannelPayment, NotFoundAtChannel, PaymentRef, Reported
from channels.stripe import shapes
from channels.stripe.shapes import PAYMENT_NO, Shape

log = structlog.get_logger(__name__)

SESSION, INTENT = "cs_", "pi_"
EXPAND_INTENT = ["payment_intent"]
PAGE = 100
MAX_LISTED = 5000  # more than that is not read through for one payment: nobody knows then
# A creation is sent within the deadline of its saga; clocks differ.
BEFORE, AFTER = dt.timedelta(minutes=10), dt.timedelta(hours=1)
# Where it is not known when: sessions live for a day at most.
LOOK_BACK = dt.timedelta(hours=26)

Found = Reported[ChannelPayment] | NotFoundAtChannel


class TooMany(Exception):
    """The list was not read to its end: whether it holds the payment is not known."""


def payment(api: stripe.StripeClient, ref: PaymentRef) -> Found:
    """Raises `StripeError`, `Unreadable`, `TooMany`."""
    if ref.channel_trade_no.startswith(SESSION):
        return Reported(shapes.payment_of_session(session(api, ref.channel_trade_no), ref.environment))
    if ref.channel_trade_no:
        found = api.v1.payment_intents.retrieve(ref.channel_trade_no)
        return Reported(shapes.payment_of_intent(found.to_dict(), ref.environment))
    return _by_reference(api, ref)


def session(api: stripe.StripeClient, session_id: str) -> Shape:
    params: Any = {"expand": EXPAND_INTENT}
    return api.v1.checkout.sessions.retrieve(session_id, params).to_dict()


def intent_id(api: stripe.StripeClient, ref: PaymentRef) -> str:
    """The PaymentIntent that holds the money. Empty while nobody has paid on the page. Raises as `payment`."""
    trade_no = ref.channel_trade_no
    if not trade_no:
        found = _by_reference(api, ref)
        trade_no = found.value.channel_trade_no if isinstance(found, Reported) else ""
    if not trade_no.startswith(SESSION):
        return trade_no
    intent = session(api, trade_no).get("payment_intent")
    return str(intent["id"]) if intent else ""


def _by_reference(api: stripe.StripeClient, ref: PaymentRef) -> Found:
    created = _window(ref)
    for listed in sessions(api, created):
        if shapes.reference_of(listed, PAYMENT_NO, ref.environment) == ref.reference:
            return Reported(shapes.payment_of_session(listed, ref.environment))
    for listed in intents(api, created):
        if shapes.reference_of(listed, PAYMENT_NO, ref.environment) == ref.reference:
            return Reported(shapes.payment_of_intent(listed, ref.environment))
    return _searched(api, ref)


def _searched(api: stripe.StripeClient, ref: PaymentRef) -> Found:
    """A charge that was sent long after the payment began. By now the search has caught up."""
    quoted = ref.reference.replace("\\", "\\\\").replace("'", "\\'")
    params: Any = {"query": f"metadata['{PAYMENT_NO}']:'{quoted}'", "limit": 2}
    try:
        candidates: Iterable[Shape] = [each.to_dict() for each in api.v1.payment_intents.search(params).data]
    except stripe.InvalidRequestError as error:
        log.info("stripe.search_refused", reason=error.user_message)
        candidates = intents(api, {"gte": _window(ref)["gte"]})
    for shape in candidates:
        if shapes.reference_of(shape, PAYMENT_NO, ref.environment) == ref.reference:
            return Reported(shapes.payment_of_intent(shape, ref.environment))
    return NotFoundAtChannel()


def _window(ref: PaymentRef) -> dict[str, int]:
    if ref.started_at is None:
        return {"gte": int((dt.datetime.now(dt.UTC) - LOOK_BACK).timestamp())}
    return {
        "gte": int((ref.started_at - BEFORE).timestamp()),
        "lt": int((ref.started_at + AFTER).timestamp()),
    }


def sessions(api: stripe.StripeClient, created: dict[str, int]) -> Iterator[Shape]:
    """Newest first. Raises `TooMany`."""
    params: Any = {"created": created, "limit": PAGE, "expand": [f"data.{name}" for name in EXPAND_INTENT]}
    return _walk(api.v1.checkout.sessions.list(params))


def intents(api: stripe.StripeClient, created: dict[str, int]) -> Iterator[Shape]:
    """Newest first. Raises `TooMany`."""
    params: Any = {"created": created, "limit": PAGE}
    return _walk(api.v1.payment_intents.list(params))


def _walk(first_page: Any) -> Iterator[Shape]:
    for count, item in enumerate(first_page.auto_paging_iter()):
        if count >= MAX_LISTED:
            raise TooMany
        yield item.to_dict()
