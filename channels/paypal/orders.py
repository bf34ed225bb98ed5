"""Converts PayPal's order, with its authorizations, captures and refunds, into our payment and refunds.

The order is the payment at PayPal: its id is `channel_trade_no`. It has one purchase unit, whose `custom_id` and
`invoice_id` are our reference (developer.paypal.com/docs/api/orders/v2).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channels.base import (
    ChannelPayment,
    ChannelRefund,
    PaymentCard,
    PaymentState,
    RedirectAction,
    RefundState,
    UnexpectedFormat,
    read_card,
)
from channels.paypal.amounts import read_money
from channels.paypal.fields import find_link, read_list, read_object, read_state, read_text, read_time

METHOD = "paypal"
# The customer is redirected within 6 hours of the creation, and then has 6 hours in which the order is approved and
# captured (the field `links` of the order). Not earlier than this, an approval has lapsed.
REDIRECT_SECONDS, APPROVAL_SECONDS = 6 * 3600, 6 * 3600

_PAID = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
FAILED_CAPTURES = ("DECLINED", "FAILED")
_ORDER_STATES = {
    "CREATED": PaymentState.OPEN,
    "SAVED": PaymentState.OPEN,
    "PAYER_ACTION_REQUIRED": PaymentState.OPEN,
    "APPROVED": PaymentState.APPROVED,
    "VOIDED": PaymentState.CANCELLED,
}
_CAPTURED = ("CAPTURED", "PARTIALLY_CAPTURED")
_AUTHORIZATION_STATES = {
    "CREATED": PaymentState.AUTHORIZED,
    "PENDING": PaymentState.PROCESSING,
    # The capture was not listed yet.
    **dict.fromkeys(_CAPTURED, PaymentState.PROCESSING),
    "VOIDED": PaymentState.CANCELLED,
    "EXPIRED": PaymentState.CANCELLED,
    "DENIED": PaymentState.DECLINED,
}
_REFUND_STATES = {
    "COMPLETED": RefundState.SUCCEEDED,
    "PENDING": RefundState.PENDING,
    "FAILED": RefundState.FAILED,
    "CANCELLED": RefundState.FAILED,
}


@dataclass(frozen=True, slots=True)
class PayPalOrder:
    """One order. `payment` is what the platform gets of it."""

    payment: ChannelPayment
    authorization_id: str
    # The ids of the captures whose money came, oldest first.
    capture_ids: tuple[str, ...]
    has_pending_capture: bool
    refunds: tuple[ChannelRefund, ...]


def read_order(order: Mapping[str, Any], environment: str) -> PayPalOrder:
    """Raises `UnexpectedFormat` for an order that is not one of ours, or is not as published."""
    order_id, unit = read_text(order, "id"), _read_unit(order)
    payments = read_object(unit, "payments")
    captures, authorizations = read_list(payments, "captures"), read_list(payments, "authorizations")
    authorization = authorizations[-1] if authorizations else None
    paid = [each for each in captures if read_text(each, "status") in _PAID]
    state, decisive = _find_state(order, captures, authorization)
    amount_minor, currency = read_money(unit.get("amount"))
    reference = read_text(unit, "custom_id") or read_text(unit, "invoice_id")
    failure = describe_failure(decisive) if state == PaymentState.DECLINED else ("", "")
    payment = ChannelPayment(
        reference=reference,
        channel_trade_no=order_id,
        state=state,
        amount_minor=amount_minor,
        currency=currency,
        captured_minor=sum(read_money(each.get("amount"))[0] for each in paid),
        next_action=_find_next_action(order) if state == PaymentState.OPEN else None,
        failure_code=failure[0],
        failure_message=failure[1],
        payment_method=METHOD,
        complete_before=_find_end_of_approval(order) if state == PaymentState.APPROVED else None,
        card=_find_card(order),
    )
    return PayPalOrder(
        payment=payment,
        authorization_id=read_text(authorization, "id") if authorization else "",
        capture_ids=tuple(read_text(each, "id") for each in paid),
        has_pending_capture=any(read_text(each, "status") == "PENDING" for each in captures),
        refunds=tuple(read_refund(each, environment, order_id) for each in read_list(payments, "refunds")),
    )


def describe_failure(declined: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the failure code and message of a capture or authorization that PayPal declined."""
    reason = read_text(read_object(declined, "status_details"), "reason")
    return reason.lower() or "declined", f"PayPal reports {read_text(declined, 'status')}"


def _find_card(order: Mapping[str, Any]) -> PaymentCard | None:
    """A customer without an account pays with a card. Of a PayPal wallet, the order does not tell the card
    (developer.paypal.com/api/orders/v2/definitions/payment_source_response)."""
    return read_card(read_object(order, "payment_source").get("card"), last_four="last_digits")


def _read_unit(order: Mapping[str, Any]) -> Mapping[str, Any]:
    units = read_list(order, "purchase_units")
    if not read_text(order, "id") or len(units) != 1:
        raise UnexpectedFormat("an order without its id or its one purchase unit")
    return units[0]


def _find_state(
    order: Mapping[str, Any], captures: Sequence[Mapping[str, Any]], authorization: Mapping[str, Any] | None
) -> tuple[PaymentState, Mapping[str, Any]]:
    """Returns the state, and the capture, authorization or order that decides it. Money decides before a promise."""
    for statuses, state in ((_PAID, PaymentState.PAID), (("PENDING",), PaymentState.PROCESSING)):
        for capture in captures:
            if read_text(capture, "status") in statuses:
                return state, capture
    if authorization is not None and not (captures and read_text(authorization, "status") in _CAPTURED):
        # A capture that failed leaves the authorization as it was.
        return read_state(_AUTHORIZATION_STATES, authorization, "status"), authorization
    if captures:  # each of them failed, such as one that was pending first
        return PaymentState.DECLINED, captures[-1]
    return read_state(_ORDER_STATES, order, "status"), order


def _find_next_action(order: Mapping[str, Any]) -> RedirectAction | None:
    # `payer-action` with a payment source, `approve` without one.
    url = find_link(order, "payer-action", "approve")
    return RedirectAction(url) if url else None


def _find_end_of_approval(order: Mapping[str, Any]) -> dt.datetime | None:
    created_at = read_time(order, "create_time")
    return created_at and created_at + dt.timedelta(seconds=REDIRECT_SECONDS + APPROVAL_SECONDS)


def read_refund(refund: Mapping[str, Any], environment: str, order_id: str = "") -> ChannelRefund:
    """Converts a refund. Ours have our refund number as `invoice_id` and the payment's as `custom_id`.

    A refund that was made in PayPal's dashboard has no number of ours, or both of its payment. `order_id` is unknown
    in a webhook: `payment_trade_no` is then the capture, which `find_payment` finds as well.
    """
    status = read_text(refund, "status")
    if not read_text(refund, "id") or status not in _REFUND_STATES:
        raise UnexpectedFormat(f"a refund without its id, or with the status {status!r}")
    amount_minor, currency = read_money(refund.get("amount"))
    invoice_id, custom_id = read_text(refund, "invoice_id"), read_text(refund, "custom_id")
    is_failed = _REFUND_STATES[status] == RefundState.FAILED
    return ChannelRefund(
        reference=invoice_id if invoice_id != custom_id else "",
        channel_refund_no=read_text(refund, "id"),
        state=_REFUND_STATES[status],
        amount_minor=amount_minor,
        currency=currency,
        failure_code=f"refund_{status.lower()}" if is_failed else "",
        failure_message=f"PayPal reports {status}" if is_failed else "",
        environment=environment,
        payment_reference=custom_id,
        payment_trade_no=order_id or find_capture_id(refund),
    )


def find_capture_id(refund: Mapping[str, Any]) -> str:
    """Returns the capture of a refund, empty when it does not name one."""
    return find_link(refund, "up").rpartition("/")[2]


def find_order_id(resource: Mapping[str, Any]) -> str:
    """Returns the order of a capture or authorization, empty when it does not name one."""
    related = read_object(read_object(resource, "supplementary_data"), "related_ids")
    up = find_link(resource, "up")
    return read_text(related, "order_id") or (up.rpartition("/")[2] if "/checkout/orders/" in up else "")
