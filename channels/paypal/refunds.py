"""Refunds of a payment's capture (Payments v2). They are found in the order, which lists all of them."""

from channels.base import (
    CreateRefund,
    Declined,
    NotFoundAtChannel,
    PaymentRef,
    RefundListResult,
    RefundRef,
    RefundResult,
    Reported,
)
from channels.paypal.amounts import to_money
from channels.paypal.client import PayPalClient
from channels.paypal.errors import PayPalError
from channels.paypal.orders import PayPalOrder, read_refund
from channels.paypal.payments import CAPTURES, get_order

MAX_NOTE = 255


def refund_payment(request: CreateRefund) -> RefundResult:
    """Refunds a part of the capture, or all of it."""
    payment = request.payment
    if not payment.channel_trade_no:
        return NotFoundAtChannel()
    client = PayPalClient(payment.account, payment.timeout_seconds)
    order = get_order(client, payment)
    if order.has_pending_capture and not order.capture_ids:
        return Declined("pending_capture", "PayPal has not received the customer's money yet")
    if not order.capture_ids:
        return Declined("not_captured", f"PayPal has captured nothing: {order.payment.state}")
    body = {
        "amount": to_money(request.amount_minor, request.currency),
        "invoice_id": request.reference,
        "custom_id": payment.reference,
    }
    if note := " ".join(request.reason.split())[:MAX_NOTE]:
        body["note_to_payer"] = note
    try:
        path = f"{CAPTURES}/{order.capture_ids[0]}/refund"
        answer = client.post(path, body, key=request.key)
    except PayPalError as error:
        if error.status != 422:
            raise
        # It may be the refusal of a repetition: the refund then exists.
        found = _find_in_order(get_order(client, payment), request.reference, "")
        if isinstance(found, NotFoundAtChannel):
            raise
        return found
    return Reported(read_refund(answer, payment.environment, payment.channel_trade_no))


def find_refund(refund: RefundRef) -> RefundResult:
    if not refund.payment.channel_trade_no:
        return NotFoundAtChannel()
    client = PayPalClient(refund.payment.account, refund.payment.timeout_seconds)
    return _find_in_order(get_order(client, refund.payment), refund.reference, refund.channel_refund_no)


def find_refunds(payment: PaymentRef) -> RefundListResult:
    if not payment.channel_trade_no:
        return NotFoundAtChannel()
    client = PayPalClient(payment.account, payment.timeout_seconds)
    return Reported(get_order(client, payment).refunds)


def _find_in_order(order: PayPalOrder, reference: str, refund_no: str) -> RefundResult:
    """Finds the refund by PayPal's number, or by ours."""
    for refund in order.refunds:
        if refund.channel_refund_no == refund_no if refund_no else refund.reference == reference:
            return Reported(refund)
    return NotFoundAtChannel()
