"""The merchants with the most payments, for the dashboard: their payments, outcomes and money, and those of the period
before. One statement, whose cost is bounded by the hours of the period times the merchants that were active in them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from backoffice.dashboard.aggregation import MOVED_MONEY
from backoffice.dashboard.groups import OutcomeTotals, PaidTotal

SHOWN_MERCHANTS: Final = 10
MERCHANTS: Final = f"""
WITH busiest AS MATERIALIZED (
    SELECT merchant_id FROM (
        SELECT merchant_id, payment_count FROM merchant_hours
        WHERE hour >= %(start)s AND hour < %(from)s AND environment = %(environment)s
        UNION ALL
        SELECT merchant_id, 1 FROM payments WHERE created_at >= %(from)s AND environment = %(environment)s
    ) AS counted
    GROUP BY merchant_id HAVING sum(payment_count) > 0 ORDER BY sum(payment_count) DESC, merchant_id LIMIT %(merchants)s
)
SELECT merchants.id, merchants.name, currency, is_previous,
       sum(created), sum(succeeded), sum(failed), sum(paid), sum(refunded)
FROM (
    SELECT merchant_id, currency, hour < %(start)s AS is_previous, payment_count AS created,
           succeeded_count AS succeeded, failed_count AS failed, captured_minor AS paid, refunded_minor AS refunded
    FROM merchant_hours JOIN busiest USING (merchant_id)
    WHERE environment = %(environment)s
      AND (hour >= %(start)s AND hour < %(from)s OR hour >= %(previous)s AND hour < %(previous_end)s)
    UNION ALL
    SELECT merchant_id, currency, false, 1, (status = 'succeeded')::int, (status = 'failed')::int, 0, 0
    FROM payments WHERE created_at >= %(from)s AND environment = %(environment)s
    UNION ALL
    SELECT merchant_id, currency, false, 0, 0, 0, paid, refunded FROM ({MOVED_MONEY}) AS moved
    WHERE environment = %(environment)s
) AS figures JOIN busiest USING (merchant_id) JOIN merchants ON merchants.id = merchant_id
GROUP BY 1, 2, 3, 4
"""  # noqa: S608 - no part of it comes from outside


@dataclass(slots=True)
class MerchantFigures:
    id: UUID
    name: str
    group: OutcomeTotals = field(default_factory=OutcomeTotals)


def build_merchant_figures(rows: Iterable[tuple[Any, ...]]) -> list[MerchantFigures]:
    """The merchant with the most payments comes first."""
    found: dict[UUID, MerchantFigures] = {}
    for pk, name, currency, is_previous, *figures in rows:
        created, succeeded, failed, paid, refunded = map(int, figures)
        group = found.setdefault(pk, MerchantFigures(pk, name)).group
        outcomes = group.previous_outcomes if is_previous else group.outcomes
        outcomes.update(succeeded=succeeded, failed=failed, other=created - succeeded - failed)
        totals = group.previous_paid if is_previous else group.paid
        if paid or refunded:
            totals[currency] = PaidTotal(paid, refunded)
    return sorted(found.values(), key=lambda each: (-each.group.outcomes.total(), str(each.id)))
