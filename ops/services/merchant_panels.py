"""What a merchant's page shows besides its fields: one function for each panel, each cheap however big the merchant is.

The health of its webhook endpoints belongs here, as one more function in `PANELS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from common.money import to_major_text
from gateway.models import PaymentStatus

# The newest payments of a merchant, in the order of the index payment_list: the cost has a bound.
LOOKED_AT = 10_000
DAYS = 30
VOLUMES = """
SELECT environment, currency, count(*), count(*) FILTER (WHERE status = %(succeeded)s),
       coalesce(sum(captured_minor), 0)::bigint, coalesce(sum(refunded_minor), 0)::bigint
FROM (
    (SELECT environment, currency, status, captured_minor, refunded_minor, created_at FROM payments
     WHERE merchant_id = %(merchant)s AND environment = 'test' ORDER BY id DESC LIMIT %(most)s)
    UNION ALL
    (SELECT environment, currency, status, captured_minor, refunded_minor, created_at FROM payments
     WHERE merchant_id = %(merchant)s AND environment = 'live' ORDER BY id DESC LIMIT %(most)s)
) AS newest
WHERE created_at >= now() - make_interval(days => %(days)s)
GROUP BY environment, currency ORDER BY environment, currency
"""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    nothing: str = ""


def panels(*, merchant_id: UUID) -> list[Panel]:
    return [panel(merchant_id) for panel in PANELS]


def volumes(merchant_id: UUID) -> Panel:
    """Payments, captured and refunded money of the last 30 days, of at most the newest 10,000 payments."""
    given: dict[str, Any] = {
        "merchant": merchant_id,
        "most": LOOKED_AT,
        "days": DAYS,
        "succeeded": PaymentStatus.SUCCEEDED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(VOLUMES, given)
        found = cursor.fetchall()
    return Panel(
        title=_("Volume of the last %(days)d days (of the newest %(most)d payments)")
        % {"days": DAYS, "most": LOOKED_AT},
        columns=(
            _("environment"),
            _("payments"),
            _("succeeded"),
            _("captured"),
            _("refunded"),
        ),
        rows=[
            (
                environment,
                str(payments),
                str(succeeded),
                f"{to_major_text(captured, currency)} {currency}",
                f"{to_major_text(refunded, currency)} {currency}",
            )
            for environment, currency, payments, succeeded, captured, refunded in found
        ],
        nothing=_("No payments."),
    )


PANELS: Sequence[Callable[[UUID], Panel]] = (volumes,)
