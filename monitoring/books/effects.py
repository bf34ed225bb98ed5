"""Rules about what a saga leaves behind: in our tables, and in the bank's for payments that the simulator serves.

A completed saga has its effect exactly once, a compensated one has none.
"""

# ruff: noqa: S608 - put together from the constants of this file alone

from monitoring.books.rule import REFERENCE, Rule

SERVED = "p.environment = 'test' AND (p.sandbox OR p.channel = 'simulator')"
CLOSED = "('failed', 'cancelled', 'expired')"

WISHES_ONCE = Rule(
    "wishes_once",
    "One saga creates, or captures, one thing.",
    """
    SELECT i.business_id AS id, i.definition || ' ' || count(*) || ' times' AS what
    FROM saga_instances i
    WHERE i.created_at >= %(since)s
      AND (i.definition IN ('payment.create', 'refund.create')
        OR (i.definition = 'payment.capture' AND i.status = 'completed'))
    GROUP BY i.business_id, i.definition HAVING count(*) > 1
    """,
)

BANK_KEYS_ONCE = Rule(
    "bank_keys_once",
    "The bank did nothing twice: not under one key, not to one payment, not for one refund.",
    """
    SELECT min(l.reference) AS id, l.kind || ' under one key ' || count(*) || ' times' AS what
    FROM simulator_ledger l WHERE l.at >= %(since)s
    GROUP BY l.kind, l.key HAVING count(*) > 1
    UNION
    SELECT l.reference, l.kind || ' ' || count(*) || ' times'
    FROM simulator_ledger l WHERE l.at >= %(since)s
    GROUP BY l.reference, l.kind, l.refund_reference HAVING count(*) > 1
    """,
)

TOLD_ONCE = Rule(
    "told_once",
    "What happens once is told once.",
    """
    SELECT o.ordering_key AS id, o.type || ' ' || count(*) || ' times' AS what
    FROM outbox_events o
    LEFT JOIN refunds r ON r.id = o.subject_id
    WHERE o.created_at >= %(since)s AND (o.type LIKE 'payment.%%' OR o.type LIKE 'refund.%%')
      AND o.type <> 'payment.dispute.updated' AND r.contradicted_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM payment_attempts t WHERE t.payment_id = o.subject_id AND t.opened_by IS NOT NULL)
    GROUP BY o.ordering_key, o.subject_id, o.type HAVING count(*) > 1
    """,
)

PAYMENT_CREATED = Rule(
    "payment_created",
    "payment.create, completed: one payment, its order, and the same payment at the bank.",
    f"""
    SELECT i.business_id AS id,
           CASE WHEN p.id IS NULL THEN 'no payment' WHEN o.id IS NULL THEN 'no order'
                WHEN b.reference IS NULL THEN 'not at the bank' ELSE 'another payment at the bank' END AS what
    FROM saga_instances i
    LEFT JOIN payments p ON p.payment_no = i.business_id
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN simulator_payments b ON b.reference = {REFERENCE}
    WHERE i.definition = 'payment.create' AND i.status = 'completed' AND i.created_at >= %(since)s
      AND (p.id IS NULL OR o.id IS NULL OR ({SERVED} AND (
            b.reference IS NULL OR b.create_key IS NULL OR b.channel_trade_no <> p.channel_trade_no
         OR b.amount <> p.amount_minor OR b.currency <> p.currency)))
    """,
)

PAYMENT_UNDONE = Rule(
    "payment_undone",
    "payment.create, compensated: the payment and its order are closed, and nobody can pay at the bank any more.",
    f"""
    SELECT i.business_id AS id,
           concat_ws(', ', p.status, 'order ' || o.status, 'at the bank ' || b.state) AS what
    FROM saga_instances i
    LEFT JOIN payments p ON p.payment_no = i.business_id
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN simulator_payments b ON b.reference = {REFERENCE} AND {SERVED}
    WHERE i.definition = 'payment.create' AND i.status = 'compensated' AND i.created_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM payment_attempts t WHERE t.payment_id = p.id AND t.opened_by IS NOT NULL)
      AND (p.id IS NULL OR p.status NOT IN {CLOSED} OR o.status IS DISTINCT FROM 'cancelled'
        OR (b.state IN ('open', 'processing', 'authorized') AND NOT p.needs_attention))
    """,
)

PAYMENT_CANCELLED = Rule(
    "payment_cancelled",
    "payment.cancel, completed: the payment is over here and at the bank; what was held is released or taken.",
    f"""
    SELECT i.business_id AS id, concat_ws(', ', p.status, 'at the bank ' || b.state) AS what
    FROM saga_instances i
    LEFT JOIN payments p ON p.id = (i.metadata->>'payment_id')::uuid
    LEFT JOIN simulator_payments b ON b.reference = {REFERENCE} AND {SERVED}
    WHERE i.definition = 'payment.cancel' AND i.status = 'completed' AND i.created_at >= %(since)s
      AND (p.id IS NULL OR i.metadata->>'reference' = {REFERENCE})
      AND (p.id IS NULL OR p.status NOT IN ('failed', 'cancelled', 'expired', 'succeeded')
        OR (b.state IN ('open', 'processing', 'authorized') AND NOT p.needs_attention))
    """,
)

CAPTURED = Rule(
    "captured",
    "payment.capture: completed, what it asked for was taken, once; compensated, it took nothing.",
    f"""
    SELECT p.payment_no AS id,
           i.status || ', asked for ' || (i.metadata->>'amount_minor') || ', took ' || taken.amount AS what
    FROM saga_instances i
    JOIN payments p ON p.id = (i.metadata->>'payment_id')::uuid AND {SERVED}
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount), 0) AS amount FROM simulator_ledger l
        WHERE l.reference = {REFERENCE} AND l.kind = 'capture'
          AND (i.status = 'completed' OR l.key LIKE i.id || ':%%')) AS taken
    WHERE i.definition = 'payment.capture' AND i.created_at >= %(since)s
      AND ((i.status = 'completed' AND taken.amount <> (i.metadata->>'amount_minor')::bigint)
        OR (i.status = 'compensated' AND taken.amount <> 0))
    """,
)

REFUNDED = Rule(
    "refunded",
    "refund.create: completed, the bank has the refund once, and has paid it when we say so; compensated, never.",
    """
    SELECT i.business_id AS id,
           i.status || ', ' || coalesce(r.status, 'no refund') || ', paid by the bank ' || paid.amount AS what
    FROM saga_instances i
    LEFT JOIN refunds r ON r.refund_no = i.business_id
    LEFT JOIN payments p ON p.id = r.payment_id
    LEFT JOIN payment_attempts a ON a.id = r.surplus_of_id
    LEFT JOIN simulator_refunds b ON b.reference = r.refund_no
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount), 0) AS amount FROM simulator_ledger l
        WHERE l.kind = 'refund' AND l.refund_reference = i.business_id) AS paid
    WHERE i.definition = 'refund.create' AND i.status IN ('completed', 'compensated')
      AND i.created_at >= %(since)s AND r.contradicted_at IS NULL
      AND (r.id IS NULL OR (p.environment = 'test'
        AND (coalesce(a.sandbox, p.sandbox) OR coalesce(a.channel, p.channel) = 'simulator')
        AND NOT p.needs_attention AND (
            (i.status = 'completed' AND (b.reference IS NULL OR b.amount <> r.amount_minor))
         OR (i.status = 'compensated' AND r.status <> 'failed')
         OR (r.status = 'succeeded' AND paid.amount <> r.amount_minor)
         OR (r.status = 'failed' AND paid.amount <> 0))))
    """,
)

RULES = (
    WISHES_ONCE,
    BANK_KEYS_ONCE,
    TOLD_ONCE,
    PAYMENT_CREATED,
    PAYMENT_UNDONE,
    PAYMENT_CANCELLED,
    CAPTURED,
    REFUNDED,
)
