"""Checks of payments that the customer only approves and the platform completes, against the simulator."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IS_SIMULATED, IntegrityCheck

COMPLETED_APPROVALS = IntegrityCheck(
    "completed_approvals",
    _(
        "A completed payment.complete has completed the payment at the simulator; a compensated one moved no money."
    ),
    f"""
    SELECT p.payment_no AS id, i.status || ', at the simulator ' || b.state AS detail
    FROM saga_instances i
    JOIN payments p ON p.id = (i.metadata->>'payment_id')::uuid AND {IS_SIMULATED}
    JOIN simulator_payments b ON b.reference = i.metadata->>'reference'
    WHERE i.definition = 'payment.complete' AND i.created_at >= %(since)s
      AND ((i.status = 'completed' AND b.state IN ('open', 'approved'))
        OR (i.status = 'compensated' AND EXISTS (
            SELECT 1 FROM simulator_ledger l
            WHERE l.reference = b.reference AND l.kind IN ('charge', 'authorize', 'capture'))))
    """,
)

CHECKS = (COMPLETED_APPROVALS,)
