"""Counters of payments and refunds. The start of a refund is counted as a saga's."""

from django.db import transaction
from prometheus_client import Counter

from gateway.models import Payment, Refund

_LABELS = ["outcome", "channel", "currency", "environment"]
PAYMENTS = Counter("payments_total", "Payments by outcome", _LABELS)
REFUNDS = Counter("refunds_total", "Refunds by outcome", _LABELS)


def count_payment_event(event_type: str, payment: Payment) -> None:
    """Counts an event like `payment.succeeded` when the transaction around the call has committed.

    The rare outcome `late_success` is exported with 0 from the first payment on: an alert on its increase needs a value
    to start from.
    """
    PAYMENTS.labels("late_success", payment.channel, payment.currency, payment.environment)
    _count(PAYMENTS, event_type, payment.channel, payment.currency, payment.environment)


def count_refund_event(event_type: str, refund: Refund) -> None:
    """Counts an event like `refund.failed` when the transaction around the call has committed."""
    _count(REFUNDS, event_type, refund.payment.channel, refund.currency, refund.environment)


def _count(counter: Counter, event_type: str, channel: str, currency: str, environment: str) -> None:
    outcome = event_type.partition(".")[2]
    transaction.on_commit(counter.labels(outcome, channel, currency, environment).inc)
