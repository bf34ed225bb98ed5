"""Finds a payment at Stripe: by Stripe's id, or by our number when the answer to its creation was lost.

Stripe's search lags by up to a minute, more in an outage, and is not offered everywhere
(docs.stripe.com/search#data-freshness); lists do not lag. So the lists of the time around the creation are read first,
and only older payments are searched for. While the idempotency key of a creation lives, repeating the creation is the
better query: see `ChannelCapabilities`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

import stripe
import structlog

from channels.base import ChannelPayment, NotFoundAtChannel, PaymentRef, Reported
from channels.stripe.fields import StripeJson, read_id
from channels.stripe.metadata import PAYMENT_NO, read_reference
from channels.stripe.payment_objects import read_payment_intent, read_session

log = structlog.get_logger(__name__)

SESSION_PREFIX = "cs_"
EXPAND_INTENT = ["payment_intent"]
PAGE_SIZE = 100
MAX_LISTED = 5000  # a longer list is not read for one payment: the result is then unknown
# Around `started_at`: a creation is sent within the deadline of its saga, and clocks differ.
BEFORE_START, AFTER_START = dt.timedelta(minutes=10), dt.timedelta(hours=1)
# Where `started_at` is not known: a session lives for a day at most.
LOOK_BACK = dt.timedelta(hours=26)

FoundPayment = Reported[ChannelPayment] | NotFoundAtChannel


class ListTooLong(Exception):
    """The list was not read to its end: whether it contains the payment is unknown."""


def is_session_id(trade_no: str) -> bool:
    """Whether Stripe's id of a payment is that of a Checkout Session, not of a PaymentIntent."""
    return trade_no.startswith(SESSION_PREFIX)


def find_payment(api: stripe.StripeClient, ref: PaymentRef) -> FoundPayment:
    """Raises `StripeError`, `UnexpectedFormat`, `ListTooLong`."""
    if not ref.channel_trade_no:
        return _find_by_reference(api, ref)
    if is_session_id(ref.channel_trade_no):
        return Reported(read_session(retrieve_session(api, ref.channel_trade_no), ref.environment))
    intent = api.v1.payment_intents.retrieve(ref.channel_trade_no)
    return Reported(read_payment_intent(intent.to_dict(), ref.environment))


def find_payment_intent_id(api: stripe.StripeClient, ref: PaymentRef) -> str:
    """Returns the id of the PaymentIntent that holds the money. Empty while nobody has paid on the page.

    Raises as `find_payment`.
    """
    trade_no = ref.channel_trade_no
    if not trade_no:
        found = _find_by_reference(api, ref)
        trade_no = found.value.channel_trade_no if isinstance(found, Reported) else ""
    if not is_session_id(trade_no):
        return trade_no
    return read_id(retrieve_session(api, trade_no).get("payment_intent"))


def retrieve_session(api: stripe.StripeClient, session_id: str) -> StripeJson:
    params: Any = {"expand": EXPAND_INTENT}
    return api.v1.checkout.sessions.retrieve(session_id, params).to_dict()


def _find_by_reference(api: stripe.StripeClient, ref: PaymentRef) -> FoundPayment:
    created = _build_created_filter(ref)
    for session in _list_sessions(api, created):
        if _has_reference(session, ref):
            return Reported(read_session(session, ref.environment))
    for intent in _list_payment_intents(api, created):
        if _has_reference(intent, ref):
            return Reported(read_payment_intent(intent, ref.environment))
    return _search_by_reference(api, ref)


def _search_by_reference(api: stripe.StripeClient, ref: PaymentRef) -> FoundPayment:
    """Finds a PaymentIntent that was created long after the attempt started: the search has caught up by now."""
    quoted = ref.reference.replace("\\", "\\\\").replace("'", "\\'")
    params: Any = {"query": f"metadata['{PAYMENT_NO}']:'{quoted}'", "limit": 2}
    candidates: Iterable[StripeJson]
    try:
        candidates = [each.to_dict() for each in api.v1.payment_intents.search(params).data]
    except stripe.InvalidRequestError as error:
        log.info("stripe.search_refused", reason=error.user_message)
        candidates = _list_payment_intents(api, {"gte": _build_created_filter(ref)["gte"]})
    for intent in candidates:
        if _has_reference(intent, ref):
            return Reported(read_payment_intent(intent, ref.environment))
    return NotFoundAtChannel()


def _has_reference(fields: StripeJson, ref: PaymentRef) -> bool:
    return read_reference(fields, PAYMENT_NO, ref.environment) == ref.reference


def _build_created_filter(ref: PaymentRef) -> dict[str, int]:
    if ref.started_at is None:
        return {"gte": int((dt.datetime.now(dt.UTC) - LOOK_BACK).timestamp())}
    return {
        "gte": int((ref.started_at - BEFORE_START).timestamp()),
        "lt": int((ref.started_at + AFTER_START).timestamp()),
    }


def _list_sessions(api: stripe.StripeClient, created: dict[str, int]) -> Iterator[StripeJson]:
    """Newest first. Raises `ListTooLong`."""
    expand = [f"data.{name}" for name in EXPAND_INTENT]
    params: Any = {"created": created, "limit": PAGE_SIZE, "expand": expand}
    return _read_limited(api.v1.checkout.sessions.list(params))


def _list_payment_intents(api: stripe.StripeClient, created: dict[str, int]) -> Iterator[StripeJson]:
    """Newest first. Raises `ListTooLong`."""
    params: Any = {"created": created, "limit": PAGE_SIZE}
    return _read_limited(api.v1.payment_intents.list(params))


def _read_limited(first_page: Any) -> Iterator[StripeJson]:
    for count, item in enumerate(first_page.auto_paging_iter()):
        if count >= MAX_LISTED:
            raise ListTooLong
        yield item.to_dict()
