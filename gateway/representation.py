"""Payments, refunds and disputes as the API and events show them: amounts in minor units, times in UTC."""

import uuid
from typing import Any

from common.clock import rfc3339
from gateway import checkout_token
from gateway.models import (
    AuthorizationIncrement,
    Capture,
    CaptureMethod,
    Dispute,
    DisputeResponse,
    Payment,
    PaymentAttempt,
    PaymentStatus,
    Refund,
)


def payment_body(payment: Payment) -> dict[str, Any]:
    return {
        "payment_no": payment.payment_no,
        "order_no": payment.order_no,
        "amount": payment.amount_minor,
        "currency": payment.currency,
        "status": payment.status,
        "channel": payment.channel,
        "channel_account": _id_or_none(payment.channel_account_id),
        "sandbox": payment.sandbox,
        "payment_method": payment.payment_method or None,
        "card": _describe_card(payment),
        "channel_trade_no": payment.channel_trade_no or None,
        "payment_url": (payment.payment_url or None) if payment.is_open else None,
        "next_action": payment.next_action if payment.status == PaymentStatus.PENDING else None,
        "checkout_url": checkout_token.build_checkout_url(payment.id),
        "capture_method": payment.capture_method,
        "authorized_amount": _authorized_amount(payment),
        "capturable_amount": payment.capturable_minor,
        "captured_amount": payment.captured_minor,
        "refunded_amount": payment.refunded_minor,
        "refundable_amount": payment.refundable_minor,
        "disputed_amount": payment.disputed_minor,
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


def _describe_card(payment: Payment) -> dict[str, str | None] | None:
    if not payment.card_brand:
        return None
    return {
        "brand": payment.card_brand,
        "last4": payment.card_last_four or None,
        "wallet": payment.card_wallet or None,
    }


def _authorized_amount(payment: Payment) -> int:
    was_authorized = payment.status == PaymentStatus.AUTHORIZED or (
        payment.status == PaymentStatus.SUCCEEDED and payment.capture_method == CaptureMethod.MANUAL
    )
    return payment.authorized_minor if was_authorized else 0


def payment_path(payment: Payment) -> str:
    """The `Location` of an answer that is not final."""
    return f"/api/v1/payments/{payment.payment_no}"


def payment_detail(payment: Payment) -> dict[str, Any]:
    """The payment with its attempts, captures and authorization increments, first to last, and its disputes."""
    attempts = payment.attempts.order_by("number")
    captures = payment.captures.order_by("number")
    increments = payment.authorization_increments.order_by("number")
    disputes = payment.disputes.order_by("id")
    return {
        **payment_body(payment),
        "attempts": [attempt_body(attempt) for attempt in attempts],
        "captures": [capture_body(capture) for capture in captures],
        "authorization_increments": [increment_body(increment) for increment in increments],
        "disputes": [dispute_body(dispute) for dispute in disputes],
    }


def attempt_body(attempt: PaymentAttempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "channel": attempt.channel,
        "channel_account": _id_or_none(attempt.channel_account_id),
        "sandbox": attempt.sandbox,
        "status": attempt.status,
        "channel_trade_no": attempt.channel_trade_no or None,
        "failure_code": attempt.failure_code or None,
        "failure_message": attempt.failure_message or None,
        "duplicate_amount": attempt.duplicate_minor,
        "duplicate_refunded_amount": attempt.duplicate_refunded_minor,
        "created_at": rfc3339(attempt.created_at),
        "finished_at": rfc3339(attempt.finished_at),
    }


def capture_body(capture: Capture) -> dict[str, Any]:
    return {
        "number": capture.number,
        "amount": capture.amount_minor,
        "final_capture": capture.is_final,
        "made_at_channel": capture.is_made_at_channel,
        "status": capture.status,
        "failure_code": capture.failure_code or None,
        "failure_message": capture.failure_message or None,
        "created_at": rfc3339(capture.created_at),
        "settled_at": rfc3339(capture.settled_at),
    }


def increment_body(increment: AuthorizationIncrement) -> dict[str, Any]:
    return {
        "number": increment.number,
        "previous_amount": increment.previous_minor,
        "amount": increment.amount_minor,
        "status": increment.status,
        "failure_code": increment.failure_code or None,
        "failure_message": increment.failure_message or None,
        "created_at": rfc3339(increment.created_at),
        "settled_at": rfc3339(increment.settled_at),
    }


def refund_path(refund: Refund) -> str:
    return f"/api/v1/refunds/{refund.refund_no}"


def refund_body(refund: Refund) -> dict[str, Any]:
    return {
        "refund_no": refund.refund_no,
        "payment_no": refund.payment.payment_no,
        "amount": refund.amount_minor,
        "currency": refund.currency,
        "status": refund.status,
        "origin": refund.origin,
        "reason": refund.reason,
        "channel_account": _id_or_none(refund.channel_account_id),
        "channel_refund_no": refund.channel_refund_no or None,
        "failure_code": refund.failure_code or None,
        "failure_message": refund.failure_message or None,
        "environment": refund.environment,
        "previous_status": refund.previous_status or None,
        "outcome_changed_at": rfc3339(refund.contradicted_at),
        "late_refunded_amount": refund.late_refunded_minor,
        "created_at": rfc3339(refund.created_at),
        "settled_at": rfc3339(refund.settled_at),
    }


def dispute_body(dispute: Dispute) -> dict[str, Any]:
    return {
        "dispute_no": dispute.dispute_no,
        "payment_no": dispute.payment.payment_no,
        "order_no": dispute.payment.order_no,
        "amount": dispute.amount_minor,
        "currency": dispute.currency,
        "reason": dispute.reason,
        "channel_reason": dispute.channel_reason or None,
        "status": dispute.status,
        "stage": dispute.stage,
        "is_inquiry": dispute.is_inquiry,
        "evidence_due_by": rfc3339(dispute.evidence_due_by),
        "channel": dispute.channel,
        "channel_account": _id_or_none(dispute.channel_account_id),
        "channel_dispute_no": dispute.channel_dispute_no,
        "environment": dispute.environment,
        "created_at": rfc3339(dispute.created_at),
        "updated_at": rfc3339(dispute.updated_at),
        "closed_at": rfc3339(dispute.closed_at),
    }


def dispute_path(dispute: Dispute) -> str:
    return f"/api/v1/disputes/{dispute.dispute_no}"


def dispute_response_body(response: DisputeResponse) -> dict[str, Any]:
    return {
        "dispute_no": response.dispute.dispute_no,
        "kind": response.kind,
        "status": response.status,
        "texts": response.texts,
        "files": [
            {
                "field": file.field,
                "name": file.original_name,
                "content_type": file.content_type,
                "size": file.size_bytes,
                "pages": file.page_count,
                "sha256": file.sha256,
            }
            for file in response.files.order_by("field")
        ],
        "failure_code": response.failure_code or None,
        "failure_message": response.failure_message or None,
        "created_at": rfc3339(response.created_at),
        "submitted_at": rfc3339(response.submitted_at),
    }


def _id_or_none(account_id: uuid.UUID | None) -> str | None:
    """None: the platform's own account."""
    return str(account_id) if account_id else None
