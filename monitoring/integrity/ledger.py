"""Checks of our amounts against the simulator's ledger, which is committed apart from our tables (ADR 4)."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IS_SIMULATED, REFERENCE, IntegrityCheck

# The ledger's totals of each reference that has an entry since then.
_LEDGER_TOTALS = """
    SELECT reference, max(at) AS last_at,
           coalesce(sum(amount) FILTER (WHERE kind IN ('charge', 'capture')), 0) AS taken,
           coalesce(sum(CASE kind WHEN 'refund' THEN amount WHEN 'refund_return' THEN -amount END), 0) AS refunded,
           coalesce(sum(amount) FILTER (WHERE kind = 'authorize'), 0) AS held,
           coalesce(sum(amount) FILTER (WHERE kind IN ('capture', 'void')), 0) AS released
    FROM simulator_ledger GROUP BY reference HAVING max(at) >= %(since)s
"""

# Our totals of each reference: the payment's own money, or the duplicate payment of another attempt.
OUR_TOTALS = f"""
    SELECT a.reference, p.id AS payment_id, p.payment_no, p.status, p.needs_attention, p.created_at,
           a.reference = {REFERENCE} AS is_current,
           CASE WHEN a.reference = {REFERENCE} THEN p.captured_minor ELSE a.duplicate_minor END AS taken,
           CASE WHEN a.reference = {REFERENCE} THEN p.refunded_minor ELSE a.duplicate_refunded_minor END AS refunded,
           CASE WHEN a.reference = {REFERENCE} THEN p.refund_pending_minor ELSE a.duplicate_pending_minor END
               AS pending,
           p.environment = 'test' AND (a.sandbox OR a.channel = 'simulator') AS is_simulated,
           p.environment, CASE WHEN a.sandbox THEN '' ELSE a.channel END AS channel
    FROM payment_attempts a JOIN payments p ON p.id = a.payment_id
"""

# The platform learns of a charge by webhook or query, so the ledger may be ahead for the grace.
CHARGE_HAS_PAYMENT = IntegrityCheck(
    "charge_has_payment",
    _("What the simulator's ledger charged or captured has exactly one payment with the same amount."),
    """
    SELECT charged.reference AS id
    FROM (
        SELECT reference, sum(amount) AS amount, min(currency) AS currency,
               count(*) FILTER (WHERE kind = 'charge') AS charges, count(DISTINCT kind) AS kinds
        FROM simulator_ledger
        WHERE kind IN ('charge', 'capture') AND at >= %(since)s
        GROUP BY reference
        HAVING max(at) <= now() - make_interval(secs => %(grace)s)
    ) AS charged
    LEFT JOIN payment_attempts a ON a.reference = charged.reference AND (a.sandbox OR a.channel = 'simulator')
    LEFT JOIN payments p ON p.id = a.payment_id AND p.environment = 'test'
    WHERE p.id IS NULL OR charged.charges > 1 OR charged.kinds > 1 OR p.currency <> charged.currency
       OR CASE WHEN p.channel_reference = a.reference THEN p.captured_minor ELSE a.duplicate_minor END <> charged.amount
    """,
)

# The ledger is committed first, so there is no grace in this direction.
PAYMENT_HAS_CHARGE = IntegrityCheck(
    "payment_has_charge",
    _("Every captured payment of the simulator has its charge in the simulator's ledger."),
    f"""
    SELECT p.payment_no AS id
    FROM payments p
    WHERE p.created_at >= %(since)s AND p.captured_minor > 0 AND {IS_SIMULATED}
      AND p.captured_minor IS DISTINCT FROM (
        SELECT sum(l.amount) FROM simulator_ledger l
        WHERE l.reference = p.channel_reference AND l.kind IN ('charge', 'capture') AND l.currency = p.currency)
    UNION ALL
    SELECT a.reference
    FROM payment_attempts a JOIN payments p ON p.id = a.payment_id
    WHERE a.created_at >= %(since)s AND a.duplicate_minor > 0
      AND p.environment = 'test' AND (a.sandbox OR a.channel = 'simulator')
      AND NOT EXISTS (
        SELECT 1 FROM simulator_ledger l
        WHERE l.reference = a.reference AND l.kind IN ('charge', 'capture') AND l.amount = a.duplicate_minor)
    """,
)

LEDGER_ENTRIES_ONCE = IntegrityCheck(
    "ledger_entries_once",
    _("The simulator moves money once for one key, charges a payment once, and makes a refund once."),
    """
    SELECT min(l.reference) AS id, l.kind || ' with one key ' || count(*) || ' times' AS detail
    FROM simulator_ledger l
    GROUP BY l.kind, l.key HAVING count(*) > 1 AND max(l.at) >= %(since)s
    UNION
    SELECT l.reference, l.kind || ' ' || count(*) || ' times'
    FROM simulator_ledger l
    WHERE l.kind NOT IN ('authorize', 'capture')
    GROUP BY l.reference, l.kind, l.refund_reference HAVING count(*) > 1 AND max(l.at) >= %(since)s
    """,
)

LEDGER_LIMITS = IntegrityCheck(
    "ledger_limits",
    _(
        "In the simulator's ledger, no payment refunds more than it took, or takes or releases more than it held."
    ),
    f"""
    SELECT l.reference AS id,
           'took ' || l.taken || ', refunded ' || l.refunded || ', held ' || l.held || ', released ' || l.released
           AS detail
    FROM ({_LEDGER_TOTALS}) l JOIN simulator_payments b ON b.reference = l.reference
    WHERE l.refunded > l.taken OR l.taken > b.amount OR l.released > l.held
    """,
)

LEDGER_AGREES = IntegrityCheck(
    "ledger_agrees",
    _("The simulator took and refunded the amounts that our payment shows, or the payment needs review."),
    f"""
    SELECT l.reference AS id,
           'the simulator took ' || l.taken || ' and refunded ' || l.refunded || ', our payment says '
           || coalesce(o.taken || ' and ' || o.refunded, 'nothing') AS detail
    FROM ({_LEDGER_TOTALS}) l LEFT JOIN ({OUR_TOTALS}) o ON o.reference = l.reference
    WHERE l.last_at <= now() - make_interval(secs => %(grace)s) AND NOT coalesce(o.needs_attention, false)
      AND (o.taken, o.refunded) IS DISTINCT FROM (l.taken, l.refunded)
      AND NOT EXISTS (
        SELECT 1 FROM saga_instances i
        WHERE i.needs_attention AND (i.metadata->>'payment_id') = o.payment_id::text)
    UNION
    SELECT o.reference, 'our payment took ' || o.taken || ', the simulator nothing'
    FROM ({OUR_TOTALS}) o
    WHERE o.taken > 0 AND o.is_simulated AND o.created_at >= %(since)s AND NOT EXISTS (
        SELECT 1 FROM simulator_ledger l WHERE l.reference = o.reference AND l.kind IN ('charge', 'capture'))
    """,
)

LATE_PAYMENTS_REFUNDED = IntegrityCheck(
    "late_payments_refunded",
    _("A late or duplicate payment was refunded, has a pending refund, or needs review."),
    f"""
    SELECT l.reference AS id, 'holds ' || (l.taken - l.refunded) || ' although ' || CASE
           WHEN o.is_current THEN o.status ELSE 'the attempt was replaced' END AS detail
    FROM ({_LEDGER_TOTALS}) l JOIN ({OUR_TOTALS}) o ON o.reference = l.reference
    WHERE (NOT o.is_current OR o.status IN ('failed', 'cancelled', 'expired'))
      AND l.taken > l.refunded AND NOT o.needs_attention AND o.pending = 0
      AND NOT EXISTS (
        SELECT 1 FROM staff_actions s WHERE s.object_id = o.payment_no AND s.action = 'payment.resolve')
      AND l.last_at <= now() - make_interval(secs => %(grace)s)
    """,
)

CHECKS = (
    CHARGE_HAS_PAYMENT,
    PAYMENT_HAS_CHARGE,
    LEDGER_ENTRIES_ONCE,
    LEDGER_LIMITS,
    LEDGER_AGREES,
    LATE_PAYMENTS_REFUNDED,
)
