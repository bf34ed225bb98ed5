"""Creates, finds, completes, cancels and captures payments (Orders v2 and Payments v2)."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from channels.base import (
    CancelPayment,
    CapturePayment,
    ChannelPayment,
    CompletePayment,
    CreatePayment,
    Declined,
    InvalidRequest,
    NotFoundAtChannel,
    PaymentRef,
    PaymentResult,
    PaymentState,
    Reported,
    UnexpectedFormat,
)
from channels.paypal.amounts import to_money
from channels.paypal.client import PayPalClient
from channels.paypal.errors import PayPalError
from channels.paypal.fields import read_text
from channels.paypal.orders import (
    FAILED_CAPTURES,
    PayPalOrder,
    describe_failure,
    find_order_id,
    read_order,
)

ORDERS = "/v2/checkout/orders"
AUTHORIZATIONS = "/v2/payments/authorizations"
CAPTURES = "/v2/payments/captures"
MAX_DESCRIPTION = 127
# The orders API's `language`: BCP 47 with a region, such as zh-CN.
_LOCALE = re.compile(r"[a-z]{2}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?")
# 422: an earlier call has done it already, or ended it. The order says what it did.
_DONE_ALREADY = frozenset({"ORDER_ALREADY_CAPTURED", "ORDER_ALREADY_AUTHORIZED", "ORDER_COMPLETED_OR_VOIDED"})
_NOT_APPROVED = frozenset({"ORDER_NOT_APPROVED"})
_ENDED_ALREADY = frozenset({"PREVIOUSLY_VOIDED", "PREVIOUSLY_CAPTURED"})
_CAPTURED_ALREADY = frozenset({"AUTHORIZATION_ALREADY_CAPTURED", "AUTHORIZATION_VOIDED"})


def create_payment(request: CreatePayment) -> PaymentResult:
    client = PayPalClient(request.account, request.timeout_seconds)
    try:
        body = _build_order(request)
    except ValueError as error:
        return InvalidRequest("amount_not_supported", str(error), param="amount")
    order = read_order(client.post(ORDERS, body, key=request.key), request.environment)
    return Reported(order.payment)


def _build_order(request: CreatePayment) -> dict[str, Any]:
    """The same for every repetition of the key. Raises `ValueError` for an amount that PayPal cannot express."""
    unit = {
        "custom_id": request.reference,
        "invoice_id": request.reference,
        "amount": to_money(request.amount_minor, request.currency),
    }
    if description := " ".join(request.subject.split())[:MAX_DESCRIPTION]:
        unit["description"] = description
    context = {
        # Our platform has no addresses: the merchant has asked for one before.
        "shipping_preference": "NO_SHIPPING",
        "user_action": "PAY_NOW",
        "return_url": request.return_url or request.checkout_url,
        "cancel_url": request.checkout_url or request.return_url,
        "locale": request.customer.locale if _LOCALE.fullmatch(request.customer.locale) else "",
    }
    return {
        "intent": "AUTHORIZE" if request.manual_capture else "CAPTURE",
        "purchase_units": [unit],
        "payment_source": {
            "paypal": {"experience_context": {name: value for name, value in context.items() if value}}
        },
    }


def find_payment(payment: PaymentRef) -> PaymentResult:
    """Without PayPal's number nothing can be found, and nothing can be paid: nobody has the order's link, and only a
    call of ours moves money."""
    if not payment.channel_trade_no:
        return NotFoundAtChannel()
    client = PayPalClient(payment.account, payment.timeout_seconds)
    if payment.reference:
        return Reported(get_order(client, payment).payment)
    return _find_unreferenced_payment(client, payment)


def _find_unreferenced_payment(client: PayPalClient, payment: PaymentRef) -> PaymentResult:
    """Finds the payment by PayPal's number alone. Disputes and refunds of the dashboard name the capture, not the
    order."""
    try:
        return Reported(get_order(client, payment).payment)
    except PayPalError as error:
        if not error.is_not_found:
            raise
    order = find_order_of_capture(client, payment.channel_trade_no)
    if order is None:
        return NotFoundAtChannel()
    return Reported(read_order(order, payment.environment).payment)


def get_order(client: PayPalClient, payment: PaymentRef) -> PayPalOrder:
    return read_order(query_order(client, payment.channel_trade_no), payment.environment)


def query_order(client: PayPalClient, order_id: str) -> Mapping[str, Any]:
    """Raises what `errors.FAILURES` lists."""
    return client.get(_build_order_path(order_id))


def find_order_of_capture(client: PayPalClient, capture_id: str) -> Mapping[str, Any] | None:
    """Returns the order of the capture. None: PayPal does not know the capture or its order, so it is no payment of
    ours. Raises what `errors.FAILURES` lists."""
    try:
        order_id = find_order_id(client.get(f"{CAPTURES}/{quote(capture_id, safe='')}"))
        return query_order(client, order_id) if order_id else None
    except PayPalError as error:
        if error.is_not_found:
            return None
        raise


def _build_order_path(order_id: str) -> str:
    return f"{ORDERS}/{quote(order_id, safe='')}"


def complete_payment(request: CompletePayment) -> PaymentResult:
    """Captures, or authorizes, the whole order that the customer has approved."""
    client = PayPalClient(request.payment.account, request.payment.timeout_seconds)
    if not request.payment.channel_trade_no:
        return NotFoundAtChannel()
    action = "authorize" if request.manual_capture else "capture"
    path = f"{_build_order_path(request.payment.channel_trade_no)}/{action}"
    try:
        order = read_order(client.post(path, {}, key=request.key), request.payment.environment)
    except PayPalError as error:
        if error.issue not in _DONE_ALREADY | _NOT_APPROVED:
            raise
        order = get_order(client, request.payment)
    return Reported(order.payment)


def cancel_payment(request: CancelPayment) -> PaymentResult:
    """Voids an authorization. An unpaid order cannot be ended at PayPal, and need not: only a call of ours moves money,
    and a closed payment is never completed."""
    if not request.payment.channel_trade_no:
        return NotFoundAtChannel()
    client = PayPalClient(request.payment.account, request.payment.timeout_seconds)
    order = get_order(client, request.payment)
    if order.payment.state in (PaymentState.OPEN, PaymentState.APPROVED):
        return Reported(_as_cancelled(order.payment))
    if order.payment.state != PaymentState.AUTHORIZED:
        return Reported(order.payment)
    try:
        client.post(f"{AUTHORIZATIONS}/{order.authorization_id}/void", {}, key=request.key)
    except PayPalError as error:
        if error.issue not in _ENDED_ALREADY:
            raise
    return Reported(get_order(client, request.payment).payment)


def _as_cancelled(payment: ChannelPayment) -> ChannelPayment:
    return ChannelPayment(
        reference=payment.reference,
        channel_trade_no=payment.channel_trade_no,
        state=PaymentState.CANCELLED,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        payment_method=payment.payment_method,
    )


def capture_payment(request: CapturePayment) -> PaymentResult:
    """Captures an authorization once. An earlier capture is reported."""
    if not request.payment.channel_trade_no:
        return NotFoundAtChannel()
    client = PayPalClient(request.payment.account, request.payment.timeout_seconds)
    order = get_order(client, request.payment)
    if order.payment.state in (PaymentState.OPEN, PaymentState.APPROVED, PaymentState.CANCELLED):
        return Declined("not_authorized", f"PayPal has authorized nothing: {order.payment.state}")
    if order.payment.state != PaymentState.AUTHORIZED:
        return Reported(order.payment)
    if not order.authorization_id:
        raise UnexpectedFormat("an authorized order without its authorization")
    body = {
        "amount": to_money(request.amount_minor, order.payment.currency),
        "final_capture": request.is_final,
    }
    try:
        capture = client.post(f"{AUTHORIZATIONS}/{order.authorization_id}/capture", body, key=request.key)
    except PayPalError as error:
        if error.issue not in _CAPTURED_ALREADY:
            raise
    else:
        # PayPal answers 201. The order may show the authorization as it was, as if nothing had been captured yet.
        if read_text(capture, "status") in FAILED_CAPTURES:
            return Declined(*describe_failure(capture))
    return Reported(get_order(client, request.payment).payment)
