"""Lists payments and refunds of a time window (Transaction Search v1, which the app must be allowed to use).

PayPal lists a transaction up to three hours after it happened, and only transactions that moved money: no open orders.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from channels.base import (
    ChannelPayment,
    ChannelRefund,
    ListingEntry,
    ListingFailed,
    ListingWindow,
    PaymentState,
    RefundState,
    UnexpectedFormat,
)
from channels.paypal.amounts import read_money
from channels.paypal.client import PayPalClient
from channels.paypal.errors import FAILURES
from channels.paypal.fields import read_list, read_object, read_state, read_text, read_time
from channels.paypal.orders import METHOD

T = TypeVar("T")
TRANSACTIONS = "/v1/reporting/transactions"
MAX_WINDOW = dt.timedelta(days=31)  # "The maximum supported range is 31 days"
PAGE_SIZE = 500
# developer.paypal.com/docs/transaction-search/transaction-event-codes
CHECKOUT_PAYMENT, PAYMENT_REFUND = "T0006", "T1107"
# P waits for another process, S succeeded, V was reversed later, D was denied.
_PAYMENT_STATES = {
    "P": PaymentState.PROCESSING,
    "S": PaymentState.PAID,
    "V": PaymentState.PAID,
    "D": PaymentState.DECLINED,
}
_REFUND_STATES = {
    "P": RefundState.PENDING,
    "S": RefundState.SUCCEEDED,
    "V": RefundState.FAILED,
    "D": RefundState.FAILED,
}


def list_payments(window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
    """The list says what was captured, and not what the order's amount was."""
    return _list(window, CHECKOUT_PAYMENT, _read_payment)


def list_refunds(window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
    def read(transaction: Mapping[str, Any]) -> ChannelRefund:
        return _read_refund(transaction, window.environment)

    return _list(window, PAYMENT_REFUND, read)


def _list(
    window: ListingWindow, event_code: str, read: Callable[[Mapping[str, Any]], T]
) -> Iterator[ListingEntry[T]]:
    try:
        for transaction in _read_transactions(window, event_code):
            created_at = read_time(transaction, "transaction_initiation_date")
            if created_at is None:
                raise UnexpectedFormat("a transaction without its time")
            # Both ends of PayPal's range belong to it.
            if window.since <= created_at < window.until:
                yield ListingEntry(read(transaction), created_at)
    except FAILURES as error:
        raise ListingFailed(str(error)) from error


def _read_transactions(window: ListingWindow, event_code: str) -> Iterator[Mapping[str, Any]]:
    # PayPal's times have whole seconds.
    since = window.since.replace(microsecond=0)
    end = (window.until + dt.timedelta(seconds=1)).replace(microsecond=0)
    while since < end:
        until = min(since + MAX_WINDOW, end)
        page, pages = 1, 1
        while page <= pages:
            parameters = {
                "start_date": _format(since),
                "end_date": _format(until),
                "transaction_type": event_code,
                "fields": "transaction_info",
                "page_size": PAGE_SIZE,
                "page": page,
            }
            client = PayPalClient(window.account, window.timeout_seconds)
            answer = client.get(f"{TRANSACTIONS}?{urlencode(parameters)}")
            for detail in read_list(answer, "transaction_details"):
                transaction = read_object(detail, "transaction_info")
                # Each range ends where the next begins.
                if (read_time(transaction, "transaction_initiation_date") or since) < until:
                    yield transaction
            pages, page = _read_pages(answer), page + 1
        since = until


def _read_pages(answer: Mapping[str, Any]) -> int:
    """An empty list has no pages."""
    pages = answer.get("total_pages", 0)
    if not isinstance(pages, int):
        raise UnexpectedFormat("total_pages is no number")
    return pages


def _format(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_payment(transaction: Mapping[str, Any]) -> ChannelPayment:
    amount_minor, currency = read_money(transaction.get("transaction_amount"))
    state = read_state(_PAYMENT_STATES, transaction, "transaction_status")
    return ChannelPayment(
        reference=read_text(transaction, "custom_field") or read_text(transaction, "invoice_id"),
        channel_trade_no=read_text(transaction, "transaction_id"),
        state=state,
        amount_minor=None,
        currency=currency,
        captured_minor=amount_minor if state == PaymentState.PAID else 0,
        payment_method=METHOD,
    )


def _read_refund(transaction: Mapping[str, Any], environment: str) -> ChannelRefund:
    amount_minor, currency = read_money(transaction.get("transaction_amount"))
    invoice_id, custom_id = read_text(transaction, "invoice_id"), read_text(transaction, "custom_field")
    return ChannelRefund(
        reference=invoice_id if invoice_id != custom_id else "",
        channel_refund_no=read_text(transaction, "transaction_id"),
        state=read_state(_REFUND_STATES, transaction, "transaction_status"),
        amount_minor=abs(amount_minor),
        currency=currency,
        environment=environment,
        payment_reference=custom_id,
        payment_trade_no=read_text(transaction, "paypal_reference_id"),
    )
