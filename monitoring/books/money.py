"""Rules about amounts: what was taken, what was given back, and whether both sides say the same."""

# ruff: noqa: S608 - put together from the constants of this file alone

from monitoring.books.rule import REFERENCE, Rule

REFUND_LIMITS = Rule(
    "refund_limits",
    "Per payment, refunds done and pending are never more than was captured, nor captures more than the amount.",
    """
    SELECT p.payment_no AS id,
           p.refunded_minor || ' + ' || p.refund_pending_minor || ' of ' || p.captured_minor || ', refunds of '
           || coalesce(r.done, 0) || ' + ' || coalesce(r.pending, 0) AS what
    FROM payments p LEFT JOIN (
        SELECT payment_id,
               coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) + sum(late_refunded_minor) AS done,
               sum(amount_minor) FILTER (WHERE status IN ('pending', 'processing')) AS pending
        FROM refunds WHERE surplus_of_id IS NULL GROUP BY payment_id) r ON r.payment_id = p.id
    WHERE p.created_at >= %(since)s
      AND (p.refunded_minor + p.refund_pending_minor > p.captured_minor OR p.captured_minor > p.amount_minor
        OR least(p.refunded_minor, p.refund_pending_minor) < 0
        OR p.refunded_minor <> coalesce(r.done, 0) OR p.refund_pending_minor <> coalesce(r.pending, 0))
    """,
)

_LEDGER = """
    SELECT reference, max(at) AS last_at,
           coalesce(sum(amount) FILTER (WHERE kind IN ('charge', 'capture')), 0) AS taken,
           coalesce(sum(CASE kind WHEN 'refund' THEN amount WHEN 'refund_return' THEN -amount END), 0) AS given_back,
           coalesce(sum(amount) FILTER (WHERE kind = 'authorize'), 0) AS held,
           coalesce(sum(amount) FILTER (WHERE kind IN ('capture', 'void')), 0) AS let_go
    FROM simulator_ledger WHERE at >= %(since)s GROUP BY reference
"""

BANK_LIMITS = Rule(
    "bank_limits",
    "In the bank's ledger, no payment gives back more than was taken, nor takes or releases more than was held.",
    f"""
    SELECT l.reference AS id,
           'took ' || l.taken || ', gave back ' || l.given_back || ', held ' || l.held || ', let go ' || l.let_go
           AS what
    FROM ({_LEDGER}) l JOIN simulator_payments b ON b.reference = l.reference
    WHERE l.given_back > l.taken OR l.taken > b.amount OR l.let_go > l.held
    """,
)

# What our books say of each reference: the payment's own money, or what an attempt took besides.
_OURS = f"""
    SELECT a.reference, p.id AS payment_id, p.payment_no, p.status, p.needs_attention, p.created_at,
           a.reference = {REFERENCE} AS is_own,
           CASE WHEN a.reference = {REFERENCE} THEN p.captured_minor ELSE a.surplus_minor END AS taken,
           CASE WHEN a.reference = {REFERENCE} THEN p.refunded_minor ELSE a.surplus_refunded_minor END AS given_back,
           CASE WHEN a.reference = {REFERENCE} THEN p.refund_pending_minor ELSE a.surplus_pending_minor END AS pending,
           p.environment = 'test' AND (a.sandbox OR a.channel = 'simulator') AS at_the_bank
    FROM payment_attempts a JOIN payments p ON p.id = a.payment_id
"""

MONEY_AGREES = Rule(
    "money_agrees",
    "What the bank took and gave back is what our payment says, or a person was told.",
    f"""
    SELECT l.reference AS id, 'the bank took ' || l.taken || ' and gave back ' || l.given_back || ', we say '
           || coalesce(o.taken || ' and ' || o.given_back, 'nothing') AS what
    FROM ({_LEDGER}) l LEFT JOIN ({_OURS}) o ON o.reference = l.reference
    WHERE l.last_at <= now() - make_interval(secs => %(grace)s) AND NOT coalesce(o.needs_attention, false)
      AND (o.taken, o.given_back) IS DISTINCT FROM (l.taken, l.given_back)
      AND NOT EXISTS (
        SELECT 1 FROM saga_instances i
        WHERE i.needs_attention AND (i.metadata->>'payment_id') = o.payment_id::text)
    UNION
    SELECT o.reference, 'we took ' || o.taken || ', the bank nothing'
    FROM ({_OURS}) o
    WHERE o.taken > 0 AND o.at_the_bank AND o.created_at >= %(since)s AND NOT EXISTS (
        SELECT 1 FROM simulator_ledger l WHERE l.reference = o.reference AND l.kind IN ('charge', 'capture'))
    """,
)

LATE_MONEY = Rule(
    "late_money",
    "Money that arrived for a closed payment, or a second time, has gone back, is on its way back, or is left to a"
    " person.",
    f"""
    SELECT l.reference AS id, 'holds ' || (l.taken - l.given_back) || ' although ' || CASE
           WHEN o.is_own THEN o.status ELSE 'the attempt was given up' END AS what
    FROM ({_LEDGER}) l JOIN ({_OURS}) o ON o.reference = l.reference
    WHERE (NOT o.is_own OR o.status IN ('failed', 'cancelled', 'expired'))
      AND l.taken > l.given_back AND NOT o.needs_attention AND o.pending = 0
      AND NOT EXISTS (
        SELECT 1 FROM staff_actions s WHERE s.object_id = o.payment_no AND s.action = 'payment.resolve')
      AND l.last_at <= now() - make_interval(secs => %(grace)s)
    """,
)

RULES = (REFUND_LIMITS, BANK_LIMITS, MONEY_AGREES, LATE_MONEY)
