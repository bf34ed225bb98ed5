"""From the simulator's books to the platform: whoever was charged has one payment that says so.

The platform hears of a charge by webhook or by asking, so a charge may be ahead of it for the grace.
"""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT charged.reference AS id
FROM (
    SELECT reference, sum(amount) AS amount, min(currency) AS currency, count(*) AS charges
    FROM simulator_ledger
    WHERE kind IN ('charge', 'capture') AND at >= %(since)s
    GROUP BY reference
    HAVING max(at) <= now() - make_interval(secs => %(grace)s)
) AS charged
LEFT JOIN payment_attempts a ON a.reference = charged.reference AND (a.sandbox OR a.channel = 'simulator')
LEFT JOIN payments p ON p.id = a.payment_id AND p.environment = 'test'
WHERE p.id IS NULL OR charged.charges <> 1 OR p.currency <> charged.currency
   OR CASE WHEN p.channel_reference = a.reference THEN p.captured_minor ELSE a.surplus_minor END <> charged.amount
"""

CHECK = Check(
    name="charge_has_payment",
    means=_("Every charge in the simulator's books has exactly one payment with the same money."),
    sql=SQL,
)
