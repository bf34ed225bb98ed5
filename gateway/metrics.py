"""What operators see of payments and refunds: what became of them. A refund's start shows as a saga's."""

from django.db import transaction
from prometheus_client import Counter

from gateway.models import Payment, Refund

_LABELS = ["outcome", "channel", "currency", "environment"]
PAYMENTS = Counter("payments_total", "Payments by what happened to them", _LABELS)
REFUNDS = Counter("refunds_total", "Refunds by what became of them", _LABELS)


def count_payment_event(event_type: str, about: Payment) -> None:
    """Counts, once the transaction around it has committed, what an event like `payment.succeeded` tells. What is rare
    shows from the first payment on, at zero: an alert needs a first value to grow from."""
    PAYMENTS.labels("late_success", about.channel, about.currency, about.environment)
    _count(PAYMENTS, event_type, about.channel, about.currency, about.environment)


def count_refund_event(event_type: str, about: Refund) -> None:
    """The same for an event like `refund.failed`."""
    _count(REFUNDS, event_type, about.payment.channel, about.currency, about.environment)


def _count(counter: Counter, event_type: str, channel: str, currency: str, environment: str) -> None:
    outcome = event_type.partition(".")[2]
    transaction.on_commit(counter.labels(outcome, channel, currency, environment).inc)
