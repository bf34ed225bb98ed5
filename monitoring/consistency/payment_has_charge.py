"""From the platform to the simulator's books: no payment claims money that nobody was charged.

The books commit first, so there is no grace.
"""

from django.utils.translation import gettext_lazy as _

from monitoring.consistency.check import Check

SQL = """
SELECT p.payment_no AS id
FROM payments p
WHERE p.created_at >= %(since)s AND p.captured_minor > 0
  AND p.environment = 'test' AND (p.sandbox OR p.channel = 'simulator')
  AND NOT EXISTS (
    SELECT 1 FROM simulator_ledger l
    WHERE l.reference = p.channel_reference AND l.kind IN ('charge', 'capture')
      AND l.amount = p.captured_minor AND l.currency = p.currency)
UNION ALL
SELECT a.reference
FROM payment_attempts a JOIN payments p ON p.id = a.payment_id
WHERE a.created_at >= %(since)s AND a.surplus_minor > 0
  AND p.environment = 'test' AND (a.sandbox OR a.channel = 'simulator')
  AND NOT EXISTS (
    SELECT 1 FROM simulator_ledger l
    WHERE l.reference = a.reference AND l.kind IN ('charge', 'capture') AND l.amount = a.surplus_minor)
"""

CHECK = Check(
    name="payment_has_charge",
    means=_("Every captured payment of the simulator has its charge in the simulator's books."),
    sql=SQL,
)
