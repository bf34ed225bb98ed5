"""Events about payments and refunds, written to the outbox and counted."""

from dataclasses import replace

from events.outbox import Event, append_event
from gateway import metrics, representation
from gateway.models import AuthorizationIncrement, Capture, Payment, PaymentAttempt, Refund


def build_payment_event(event_type: str, payment: Payment) -> Event:
    """The event with the payment as the API shows it at this moment."""
    return Event(
        type=event_type,
        ordering_key=payment.payment_no,
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        subject_id=payment.id,
        data=representation.payment_body(payment),
        callback_url=payment.callback_url,
    )


def emit_payment_event(event_type: str, payment: Payment) -> None:
    append_event(build_payment_event(event_type, payment))
    metrics.count_payment_event(event_type, payment)


def emit_paid_twice(payment: Payment, attempt: PaymentAttempt) -> None:
    body = {**representation.payment_body(payment), "attempt": representation.attempt_body(attempt)}
    append_event(
        replace(build_payment_event("payment.paid_twice", payment), subject_id=attempt.id, data=body)
    )


def emit_capture(payment: Payment, capture: Capture) -> None:
    """For a capture that leaves the payment authorized."""
    body = {**representation.payment_body(payment), "capture": representation.capture_body(capture)}
    append_event(replace(build_payment_event("payment.captured", payment), subject_id=capture.id, data=body))
    metrics.count_payment_event("payment.captured", payment)


def emit_increment(payment: Payment, increment: AuthorizationIncrement) -> None:
    event_type = "payment.authorization_incremented"
    body = {
        **representation.payment_body(payment),
        "authorization_increment": representation.increment_body(increment),
    }
    append_event(replace(build_payment_event(event_type, payment), subject_id=increment.id, data=body))
    metrics.count_payment_event(event_type, payment)


def emit_refund_event(event_type: str, refund: Refund) -> None:
    append_event(
        Event(
            type=event_type,
            ordering_key=refund.payment.payment_no,
            merchant_id=refund.merchant_id,
            environment=refund.environment,
            subject_id=refund.id,
            data=representation.refund_body(refund),
            callback_url=refund.payment.callback_url,
        )
    )
    metrics.count_refund_event(event_type, refund)
