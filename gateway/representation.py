"""Payments and refunds as the API and events show them (design section 4)."""

from typing import Any

from common.clock import rfc3339
from gateway import checkout_token
from gateway.models import Payment, PaymentAttempt, Refund


def payment_body(payment: Payment) -> dict[str, Any]:
    return {
        "payment_no": payment.payment_no,
        "order_no": payment.order_no,
        "amount": payment.amount_minor,
        "currency": payment.currency,
        "status": payment.status,
        "channel": payment.channel,
        "sandbox": payment.sandbox,
        "channel_trade_no": payment.channel_trade_no or None,
        "payment_url": (payment.payment_url or None) if payment.is_open else None,
        "checkout_url": checkout_token.address_of(payment.id),
        "capture_method": payment.capture_method,
        "captured_amount": payment.captured_minor,
        "refunded_amount": payment.refunded_minor,
        "refundable_amount": payment.refundable_minor,
        "refund_status": payment.refund_status,
        "subject": payment.subject,
        "body": payment.body,
        "callback_url": payment.callback_url or None,
        "return_url": payment.return_url or None,
        "customer": payment.customer,
        "metadata": payment.metadata,
        "failure_code": payment.failure_code or None,
        "failure_message": payment.failure_message or None,
        "environment": payment.environment,
        "created_at": rfc3339(payment.created_at),
        "expires_at": rfc3339(payment.expires_at),
        "paid_at": rfc3339(payment.paid_at),
    }


def payment_detail(payment: Payment) -> dict[str, Any]:
    """The payment with what was tried for it, first to last."""
    attempts = payment.attempts.order_by("number")
    return {**payment_body(payment), "attempts": [attempt_body(attempt) for attempt in attempts]}


def attempt_body(attempt: PaymentAttempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "channel": attempt.channel,
        "sandbox": attempt.sandbox,
        "status": attempt.status,
        "channel_trade_no": attempt.channel_trade_no or None,
        "failure_code": attempt.failure_code or None,
        "failure_message": attempt.failure_message or None,
        "surplus_amount": attempt.surplus_minor,
        "surplus_refunded_amount": attempt.surplus_refunded_minor,
        "created_at": rfc3339(attempt.created_at),
        "finished_at": rfc3339(attempt.finished_at),
    }


def refund_body(refund: Refund) -> dict[str, Any]:
    return {
        "refund_no": refund.refund_no,
        "payment_no": refund.payment.payment_no,
        "amount": refund.amount_minor,
        "currency": refund.currency,
        "status": refund.status,
        "reason": refund.reason,
        "channel_refund_no": refund.channel_refund_no or None,
        "failure_code": refund.failure_code or None,
        "failure_message": refund.failure_message or None,
        "environment": refund.environment,
        "created_at": rfc3339(refund.created_at),
        "settled_at": rfc3339(refund.settled_at),
    }
