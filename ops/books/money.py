"""Rules about amounts: what was taken, what was given back, and whether both sides say the same."""

# ruff: noqa: S608 - put together from the constants of this file alone

from ops.books.rule import Rule

REFUND_LIMITS = Rule(
    "refund_limits",
    "Per payment, refunds done and pending are never more than was captured, nor captures more than the amount.",
    """
    SELECT p.payment_no AS id,
           p.refunded_minor || ' + ' || p.refund_pending_minor || ' of ' || p.captured_minor || ', refunds of '
           || coalesce(r.done, 0) || ' + ' || coalesce(r.pending, 0) AS what
    FROM payments p LEFT JOIN (
        SELECT payment_id, sum(amount_minor) FILTER (WHERE status = 'succeeded') AS done,
               sum(amount_minor) FILTER (WHERE status IN ('pending', 'processing')) AS pending
        FROM refunds GROUP BY payment_id) r ON r.payment_id = p.id
    WHERE p.created_at >= %(since)s
      AND (p.refunded_minor + p.refund_pending_minor > p.captured_minor OR p.captured_minor > p.amount_minor
        OR least(p.refunded_minor, p.refund_pending_minor) < 0
        OR p.refunded_minor <> coalesce(r.done, 0) OR p.refund_pending_minor <> coalesce(r.pending, 0))
    """,
)

_LEDGER = """
    SELECT reference, max(at) AS last_at,
           coalesce(sum(amount) FILTER (WHERE kind IN ('charge', 'capture')), 0) AS taken,
           coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) AS given_back,
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

MONEY_AGREES = Rule(
    "money_agrees",
    "What the bank took and gave back is what our payment says, or a person was told.",
    f"""
    SELECT l.reference AS id, 'the bank took ' || l.taken || ' and gave back ' || l.given_back || ', we say '
           || coalesce(p.captured_minor || ' and ' || p.refunded_minor, 'nothing') AS what
    FROM ({_LEDGER}) l LEFT JOIN payments p ON p.payment_no = l.reference
    WHERE l.last_at <= now() - make_interval(secs => %(grace)s) AND NOT coalesce(p.needs_attention, false)
      AND (p.captured_minor, p.refunded_minor) IS DISTINCT FROM (l.taken, l.given_back)
      AND NOT EXISTS (
        SELECT 1 FROM saga_instances i
        WHERE i.needs_attention AND (i.metadata->>'payment_id') = p.id::text)
    UNION
    SELECT p.payment_no, 'we took ' || p.captured_minor || ', the bank nothing'
    FROM payments p
    WHERE p.captured_minor > 0 AND p.environment = 'test' AND (p.sandbox OR p.channel = 'simulator')
      AND p.created_at >= %(since)s AND NOT EXISTS (
        SELECT 1 FROM simulator_ledger l WHERE l.reference = p.payment_no AND l.kind IN ('charge', 'capture'))
    """,
)

LATE_MONEY = Rule(
    "late_money",
    "Money that arrived for a closed payment has gone back, is on its way back, or is left to a person.",
    f"""
    SELECT l.reference AS id, 'holds ' || (l.taken - l.given_back) || ' although ' || p.status AS what
    FROM ({_LEDGER}) l JOIN payments p ON p.payment_no = l.reference
    WHERE p.status IN ('failed', 'cancelled', 'expired') AND l.taken > l.given_back AND NOT p.needs_attention
      AND l.last_at <= now() - make_interval(secs => %(grace)s)
      AND NOT EXISTS (
        SELECT 1 FROM refunds r WHERE r.payment_id = p.id AND r.status IN ('pending', 'processing'))
    """,
)

RULES = (REFUND_LIMITS, BANK_LIMITS, MONEY_AGREES, LATE_MONEY)
