"""Checks of refunds: against their payment's totals, their sagas, and the simulator's ledger."""

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

REFUND_TOTALS = IntegrityCheck(
    "refund_totals",
    _("A payment's refunds add up to its refunded amounts, and never to more than was captured."),
    """
    WITH touched AS (
        SELECT id FROM payments WHERE created_at >= %(since)s
        UNION
        SELECT payment_id FROM refunds WHERE created_at >= %(since)s
    )
    SELECT p.payment_no AS id
    FROM touched JOIN payments p ON p.id = touched.id
    LEFT JOIN refunds r ON r.payment_id = p.id AND r.duplicate_attempt_id IS NULL
    GROUP BY p.id
    HAVING p.refunded_minor <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status = 'succeeded'), 0)
           + COALESCE(sum(r.late_refunded_minor), 0)
        OR p.refund_pending_minor
           <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status IN ('pending', 'processing')), 0)
        OR p.refunded_minor + p.refund_pending_minor > p.captured_minor
        OR bool_or(r.currency <> p.currency)
    UNION ALL
    SELECT a.reference
    FROM payment_attempts a LEFT JOIN refunds r ON r.duplicate_attempt_id = a.id
    WHERE a.duplicate_minor > 0 AND a.created_at >= %(since)s
    GROUP BY a.id
    HAVING a.duplicate_refunded_minor <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status = 'succeeded'), 0)
           + COALESCE(sum(r.late_refunded_minor), 0)
        OR a.duplicate_pending_minor
           <> COALESCE(sum(r.amount_minor) FILTER (WHERE r.status IN ('pending', 'processing')), 0)
    """,
)

REFUND_LIMITS = IntegrityCheck(
    "refund_limits",
    _("No payment refunds more than was captured, captures more than its amount, or has a negative total."),
    """
    WITH touched AS (
        SELECT id FROM payments WHERE created_at >= %(since)s
        UNION
        SELECT payment_id FROM refunds WHERE created_at >= %(since)s
    )
    SELECT p.payment_no AS id,
           p.refunded_minor || ' + ' || p.refund_pending_minor || ' of ' || p.captured_minor || ', refunds of '
           || coalesce(r.done, 0) || ' + ' || coalesce(r.pending, 0) AS detail
    FROM touched JOIN payments p ON p.id = touched.id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) + sum(late_refunded_minor) AS done,
               sum(amount_minor) FILTER (WHERE status IN ('pending', 'processing')) AS pending
        FROM refunds WHERE payment_id = p.id AND duplicate_attempt_id IS NULL) r
    WHERE p.refunded_minor + p.refund_pending_minor > p.captured_minor
       OR p.captured_minor > p.amount_minor + p.authorization_increment_minor
       OR least(p.refunded_minor, p.refund_pending_minor) < 0
       OR p.refunded_minor <> coalesce(r.done, 0) OR p.refund_pending_minor <> coalesce(r.pending, 0)
    """,
)

FINISHED_REFUNDS = IntegrityCheck(
    "finished_refunds",
    _(
        "The simulator has the refund of a completed refund.create once, and has paid nothing for a compensated one."
    ),
    """
    SELECT i.business_id AS id,
           i.status || ', ' || coalesce(r.status, 'no refund') || ', paid by the simulator ' || coalesce(paid.amount, 0)
           AS detail
    FROM saga_instances i
    LEFT JOIN refunds r ON r.refund_no = i.business_id
    LEFT JOIN payments p ON p.id = r.payment_id
    LEFT JOIN payment_attempts a ON a.id = r.duplicate_attempt_id
    LEFT JOIN simulator_refunds b ON b.reference = r.refund_no
    LEFT JOIN (
        SELECT refund_reference, sum(amount) FILTER (WHERE kind = 'refund') AS amount,
               sum(CASE kind WHEN 'refund' THEN amount ELSE -amount END) AS kept
        FROM simulator_ledger WHERE kind IN ('refund', 'refund_return')
        GROUP BY refund_reference) AS paid ON paid.refund_reference = i.business_id
    WHERE i.definition = 'refund.create' AND i.status IN ('completed', 'compensated')
      AND i.created_at >= %(since)s AND r.contradicted_at IS NULL
      -- Without a refund: nothing was left of a late payment when its refund began.
      AND (r.id IS NULL AND (i.status = 'completed' OR NOT EXISTS (
            SELECT 1 FROM saga_steps s
            WHERE s.saga_id = i.id AND s.step_name = 'ReserveRefund' AND s.status = 'failed'))
        OR (p.environment = 'test'
        AND (coalesce(a.sandbox, p.sandbox) OR coalesce(a.channel, p.channel) = 'simulator')
        AND NOT p.needs_attention AND (
            (i.status = 'completed' AND (b.reference IS NULL OR b.amount <> r.amount_minor))
         OR (i.status = 'compensated' AND r.status <> 'failed')
         OR (r.status = 'succeeded' AND coalesce(paid.amount, 0) <> r.amount_minor)
         -- It may have come back before the saga learned that it was made.
         OR (r.status = 'failed' AND coalesce(paid.kept, 0) <> 0))))
    """,
)

REFUNDS_IN_BOOKS = IntegrityCheck(
    "refunds_in_books",
    _(
        "Every refund is in the simulator's ledger with the same amount, and every refund in the ledger is known here."
    ),
    """
    SELECT r.refund_no AS id
    FROM refunds r JOIN payments p ON p.id = r.payment_id LEFT JOIN payment_attempts a ON a.id = r.duplicate_attempt_id
    WHERE r.created_at >= %(since)s AND r.status = 'succeeded' AND r.contradicted_at IS NULL
      AND p.environment = 'test' AND (coalesce(a.sandbox, p.sandbox) OR coalesce(a.channel, p.channel) = 'simulator')
      AND NOT EXISTS (
        SELECT 1 FROM simulator_ledger l
        WHERE l.reference = coalesce(a.reference, p.channel_reference) AND l.kind = 'refund'
          AND l.refund_reference IN (r.refund_no, r.channel_refund_no)
          AND l.amount = r.amount_minor AND l.currency = r.currency)
    UNION ALL
    SELECT l.refund_reference
    FROM simulator_ledger l
    LEFT JOIN refunds r ON (r.refund_no = l.refund_reference
            OR (r.origin = 'channel' AND r.channel = 'simulator' AND r.channel_refund_no = l.refund_reference))
        AND (r.status = 'succeeded' OR r.contradicted_at IS NOT NULL OR r.status = 'failed' AND EXISTS (
            SELECT FROM simulator_ledger back
            WHERE back.refund_reference = l.refund_reference AND back.kind = 'refund_return'
              AND back.amount = l.amount))
        AND r.amount_minor = l.amount AND r.currency = l.currency
    LEFT JOIN payment_attempts a ON a.id = r.duplicate_attempt_id
    LEFT JOIN payments p ON p.id = r.payment_id AND coalesce(a.reference, p.channel_reference) = l.reference
    WHERE l.kind = 'refund' AND l.at >= %(since)s AND l.at <= now() - make_interval(secs => %(grace)s)
      AND p.id IS NULL
    """,
)

CHECKS = (REFUND_TOTALS, REFUND_LIMITS, FINISHED_REFUNDS, REFUNDS_IN_BOOKS)
