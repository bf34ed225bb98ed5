"""Computes the amount of a payment that is in suspense (ADR 49)."""

from gateway.models import Payment, SuspenseStatus


def sum_suspense(payment: Payment) -> dict[str, int]:
    """The amount in each currency: excess of disputes and refunds of the channel, of earlier attempts as well."""
    disputes = payment.disputes.filter(suspense_minor__gt=0).values_list("currency", "suspense_minor")
    items = payment.suspense_items.filter(status=SuspenseStatus.OPEN).values_list("currency", "amount_minor")
    sums: dict[str, int] = {}
    for currency, amount_minor in [*disputes, *items]:
        sums[currency.upper()] = sums.get(currency.upper(), 0) + amount_minor
    return dict(sorted(sums.items()))


def has_suspense(payment: Payment) -> bool:
    return bool(sum_suspense(payment))
