"""Checks of payments against their sagas, and against the simulator for the payments that it serves."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IS_SIMULATED, REFERENCE, IntegrityCheck

CLOSED = "('failed', 'cancelled', 'expired')"

# Payment and saga are created together and share their id, as do refund and saga. A refund that was made at the channel
# has no saga, nor has a payment that was adopted after a restore. The saga of an automatic refund writes the refund in
# its first step.
PAYMENT_HAS_SAGA = IntegrityCheck(
    "payment_has_saga",
    _(
        "Every payment and every refund has the saga that created it, and every such saga has its payment or refund."
    ),
    """
    SELECT p.payment_no AS id
    FROM payments p LEFT JOIN saga_instances s
        ON s.id = p.id AND s.definition = 'payment.create' AND s.business_id = p.payment_no
    WHERE p.created_at >= %(since)s AND p.created_at > now() - make_interval(secs => %(saga_retention)s)
      AND s.id IS NULL AND NOT EXISTS (
        SELECT 1 FROM payment_reviews v
        WHERE v.payment_id = p.id AND v.code = 'adopted' AND v.subject = p.payment_no)
    UNION ALL
    SELECT r.refund_no
    FROM refunds r LEFT JOIN saga_instances s
        ON s.id = r.id AND s.definition = 'refund.create' AND s.business_id = r.refund_no
    WHERE r.created_at >= %(since)s AND r.created_at > now() - make_interval(secs => %(saga_retention)s)
      AND s.id IS NULL AND r.origin <> 'channel'
    UNION ALL
    SELECT s.business_id
    FROM saga_instances s LEFT JOIN payments p ON p.id = s.id LEFT JOIN refunds r ON r.id = s.id
    WHERE s.created_at >= %(since)s
      AND ((s.definition = 'payment.create' AND p.id IS NULL)
        OR (s.definition = 'refund.create' AND r.id IS NULL
            -- Nothing was left of a late payment when its refund began.
            AND NOT (s.status = 'compensated' AND EXISTS (
                SELECT 1 FROM saga_steps t
                WHERE t.saga_id = s.id AND t.step_name = 'ReserveRefund' AND t.status = 'failed'))
            AND (s.status NOT IN ('pending', 'in_progress') OR EXISTS (
                SELECT 1 FROM saga_steps t
                WHERE t.saga_id = s.id AND t.step_name = 'ReserveRefund' AND t.status <> 'pending'))))
    """,
)

SAGA_MATCHES_PAYMENT = IntegrityCheck(
    "saga_matches_payment",
    _("A payment or refund has the status that follows from its finished saga."),
    """
    -- A creation that is repeated after the time to pay finds an order that nobody can pay any more.
    SELECT p.payment_no AS id
    FROM payments p JOIN saga_instances s ON s.id = p.id
    WHERE p.created_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM payment_attempts a WHERE a.payment_id = p.id AND a.opened_by IS NOT NULL)
      AND ((s.status = 'completed' AND p.channel_trade_no = '' AND p.next_action IS NULL
            AND p.status NOT IN ('cancelled', 'expired'))
        OR (s.status = 'compensated' AND p.status NOT IN ('failed', 'cancelled', 'expired')))
    UNION ALL
    SELECT r.refund_no
    FROM refunds r JOIN saga_instances s ON s.id = r.id
    WHERE r.created_at >= %(since)s
      AND ((s.status = 'completed' AND (r.status = 'pending' OR r.channel_refund_no = ''))
        OR (s.status = 'compensated' AND r.status <> 'failed' AND r.contradicted_at IS NULL))
    UNION ALL
    SELECT p.payment_no
    FROM saga_instances s JOIN payments p ON p.payment_no = s.business_id
    WHERE s.created_at >= %(since)s AND s.status = 'completed'
      AND coalesce(nullif(s.metadata->>'reference', ''), p.payment_no) = p.channel_reference
      AND ((s.definition = 'payment.cancel' AND p.status IN ('pending', 'processing', 'authorized'))
        OR (s.definition = 'payment.capture' AND p.status <> 'succeeded'
            AND NOT (p.status = 'authorized' AND p.captured_minor > 0
                AND EXISTS (SELECT 1 FROM captures c WHERE c.id = s.id AND NOT c.is_final))))
    UNION ALL
    SELECT s.business_id
    FROM saga_instances s LEFT JOIN captures c ON c.id = s.id
    WHERE s.definition = 'payment.capture' AND s.created_at >= %(since)s
      AND ((s.status = 'completed' AND c.status IS DISTINCT FROM 'succeeded')
        OR (s.status = 'compensated' AND c.status IS DISTINCT FROM 'failed'))
    UNION ALL
    SELECT s.business_id
    FROM saga_instances s LEFT JOIN authorization_increments n ON n.id = s.id
    WHERE s.definition = 'payment.increment_authorization' AND s.created_at >= %(since)s
      AND ((s.status = 'completed' AND n.status IS DISTINCT FROM 'succeeded')
        OR (s.status = 'compensated' AND n.status IS NULL))
    """,
)

# An open payment without a running saga is polled at the channel, so that no payment or refund is forgotten.
OPEN_PAYMENTS_WATCHED = IntegrityCheck(
    "open_payments_watched",
    _("Every open payment and refund has a running saga, a planned query to the channel, or needs review."),
    """
    SELECT p.payment_no AS id
    FROM payments p
    WHERE p.created_at >= %(since)s AND p.status IN ('pending', 'processing', 'authorized')
      AND p.next_check_at IS NULL AND NOT p.needs_attention
      AND NOT EXISTS (
        SELECT 1 FROM saga_instances s
        WHERE s.business_id = p.payment_no AND (s.status IN ('pending', 'in_progress') OR s.needs_attention))
    UNION ALL
    SELECT r.refund_no
    FROM refunds r JOIN payments p ON p.id = r.payment_id
    WHERE r.created_at >= %(since)s AND r.status IN ('pending', 'processing') AND r.next_check_at IS NULL
      AND NOT p.needs_attention
      AND NOT EXISTS (
        SELECT 1 FROM saga_instances s
        WHERE s.business_id = r.refund_no AND (s.status IN ('pending', 'in_progress') OR s.needs_attention))
    """,
)

SAGAS_ONCE = IntegrityCheck(
    "sagas_once",
    _("A payment or refund is created by one saga, and one final capture ends the captures of a payment."),
    """
    SELECT i.business_id AS id, i.definition || ' ' || count(*) || ' times' AS detail
    FROM saga_instances i LEFT JOIN captures c ON c.id = i.id
    WHERE i.created_at >= %(since)s
      AND (i.definition IN ('payment.create', 'refund.create')
        OR (i.definition = 'payment.capture' AND i.status = 'completed' AND coalesce(c.is_final, true)))
    GROUP BY i.business_id, i.definition HAVING count(*) > 1
    """,
)

CREATED_PAYMENTS = IntegrityCheck(
    "created_payments",
    _("A completed payment.create has a payment and an order, and the simulator has the same payment."),
    f"""
    SELECT i.business_id AS id,
           CASE WHEN p.id IS NULL THEN 'no payment' WHEN o.id IS NULL THEN 'no order'
                WHEN b.reference IS NULL THEN 'not at the simulator' ELSE 'differs at the simulator' END AS detail
    FROM saga_instances i
    LEFT JOIN payments p ON p.payment_no = i.business_id
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN simulator_payments b ON b.reference = {REFERENCE}
    WHERE i.definition = 'payment.create' AND i.status = 'completed' AND i.created_at >= %(since)s
      -- A further attempt that was declined, or cancelled on its way, is not at the simulator as it is here.
      AND (p.id IS NULL OR o.id IS NULL OR ({IS_SIMULATED} AND NOT (p.status IN {CLOSED} AND EXISTS (
            SELECT 1 FROM saga_instances t WHERE t.business_id = p.payment_no
            AND t.definition = 'payment.retry' AND t.status = 'compensated')) AND (
            b.reference IS NULL OR b.create_key IS NULL OR b.channel_trade_no <> p.channel_trade_no
         OR b.currency <> p.currency
         OR (b.amount <> p.amount_minor + p.authorization_increment_minor AND NOT EXISTS (
                SELECT 1 FROM authorization_increments n
                WHERE n.payment_id = p.id AND n.status <> 'succeeded' AND n.amount_minor = b.amount)))))
    """,
)

COMPENSATED_PAYMENTS = IntegrityCheck(
    "compensated_payments",
    _(
        "After a compensated payment.create, payment and order are closed, and the simulator accepts no money for them."
    ),
    f"""
    SELECT i.business_id AS id,
           concat_ws(', ', p.status, 'order ' || o.status, 'at the simulator ' || b.state) AS detail
    FROM saga_instances i
    LEFT JOIN payments p ON p.payment_no = i.business_id
    LEFT JOIN orders o ON o.id = p.order_id
    LEFT JOIN simulator_payments b ON b.reference = {REFERENCE} AND {IS_SIMULATED}
    WHERE i.definition = 'payment.create' AND i.status = 'compensated' AND i.created_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM payment_attempts t WHERE t.payment_id = p.id AND t.opened_by IS NOT NULL)
      AND (p.id IS NULL OR p.status NOT IN {CLOSED} OR o.status IS DISTINCT FROM 'cancelled'
        OR (b.state IN ('open', 'processing', 'authorized') AND NOT p.needs_attention))
    """,
)

CANCELLED_PAYMENTS = IntegrityCheck(
    "cancelled_payments",
    _(
        "After a completed payment.cancel, the payment is closed here and at the simulator, and no funds are held."
    ),
    f"""
    SELECT i.business_id AS id, concat_ws(', ', p.status, 'at the simulator ' || b.state) AS detail
    FROM saga_instances i
    LEFT JOIN payments p ON p.id = (i.metadata->>'payment_id')::uuid
    LEFT JOIN simulator_payments b ON b.reference = {REFERENCE} AND {IS_SIMULATED}
    WHERE i.definition = 'payment.cancel' AND i.status = 'completed' AND i.created_at >= %(since)s
      AND (p.id IS NULL OR coalesce(nullif(i.metadata->>'reference', ''), p.payment_no) = {REFERENCE})
      AND (p.id IS NULL OR p.status NOT IN ('failed', 'cancelled', 'expired', 'succeeded')
        OR (b.state IN ('open', 'processing', 'authorized') AND NOT p.needs_attention))
    """,
)

# A payment that was paid at once has no captures.
CAPTURES_ADD_UP = IntegrityCheck(
    "captures_add_up",
    _(
        "The captures of a payment add up to its captured amount, and each open one has a saga or needs review."
    ),
    """
    WITH touched AS (
        SELECT id FROM payments WHERE created_at >= %(since)s
        UNION
        SELECT payment_id FROM captures WHERE created_at >= %(since)s
    )
    SELECT p.payment_no AS id, 'captured ' || p.captured_minor || ', captures of ' || c.made AS detail
    FROM touched JOIN payments p ON p.id = touched.id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor) FILTER (WHERE status = 'succeeded'), 0) AS made, count(*) AS count
        FROM captures WHERE payment_id = p.id) AS c
    WHERE (c.count > 0 OR (p.status = 'authorized' AND p.captured_minor > 0))
      AND p.captured_minor <> c.made AND NOT p.needs_attention
    UNION ALL
    SELECT p.payment_no, 'capture ' || c.number || ' is pending without a saga'
    FROM captures c JOIN payments p ON p.id = c.payment_id LEFT JOIN saga_instances i ON i.id = c.id
    WHERE c.created_at >= %(since)s AND c.status = 'pending'
      AND (i.id IS NULL OR (i.status NOT IN ('pending', 'in_progress') AND NOT i.needs_attention))
    """,
)

# A further attempt begins with the payment's amount.
INCREMENTS_ADD_UP = IntegrityCheck(
    "increments_add_up",
    _("The authorized amount of a payment is the largest one that was authorized."),
    """
    WITH touched AS (
        SELECT id FROM payments WHERE created_at >= %(since)s
        UNION
        SELECT payment_id FROM authorization_increments WHERE created_at >= %(since)s
    )
    SELECT p.payment_no AS id,
           'authorized ' || (p.amount_minor + p.authorization_increment_minor) || ', increments up to '
           || coalesce(n.amount_minor, p.amount_minor) AS detail
    FROM touched JOIN payments p ON p.id = touched.id
    CROSS JOIN LATERAL (
        SELECT max(amount_minor) AS amount_minor FROM authorization_increments
        WHERE payment_id = p.id AND reference = p.channel_reference AND status = 'succeeded') AS n
    WHERE p.amount_minor + p.authorization_increment_minor <> coalesce(n.amount_minor, p.amount_minor)
    """,
)

CAPTURED_PAYMENTS = IntegrityCheck(
    "captured_payments",
    _("A completed payment.capture took the requested amount once; a compensated one took nothing."),
    f"""
    SELECT p.payment_no AS id,
           i.status || ', requested ' || (i.metadata->>'amount_minor') || ', captured ' || taken.amount AS detail
    FROM saga_instances i
    JOIN payments p ON p.id = (i.metadata->>'payment_id')::uuid AND {IS_SIMULATED}
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount), 0) AS amount FROM simulator_ledger l
        WHERE l.reference = {REFERENCE} AND l.kind = 'capture' AND l.key LIKE i.id || ':%%') AS taken
    WHERE i.definition = 'payment.capture' AND i.created_at >= %(since)s
      AND ((i.status = 'completed' AND taken.amount <> (i.metadata->>'amount_minor')::bigint)
        OR (i.status = 'compensated' AND taken.amount <> 0))
    """,
)

# What exceeds the payment is in suspense. A dispute of a duplicate payment (`attempt_id`) does not block the payment's
# own money.
DISPUTED_AMOUNTS = IntegrityCheck(
    "disputed_amounts",
    _(
        "The disputed amount of a payment is what its disputes block, and its suspense is all that does not fit."
    ),
    """
    WITH touched AS (
        SELECT id FROM payments WHERE created_at >= %(since)s
        UNION
        SELECT payment_id FROM disputes WHERE updated_at >= %(since)s
    )
    SELECT p.payment_no AS id,
           'disputed ' || p.disputed_minor || ', disputes of ' || d.blocked || '; in suspense ' || p.suspense_minor
           || ', of disputes ' || d.suspense || ' and refunds ' || s.suspense || '; divided wrongly: ' || d.wrong
           AS detail
    FROM touched JOIN payments p ON p.id = touched.id
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(blocked_minor), 0) AS blocked,
               coalesce(sum(suspense_minor) FILTER (WHERE upper(currency) = p.currency), 0) AS suspense,
               count(*) FILTER (
                   WHERE NOT is_excess_charged AND upper(currency) = p.currency AND blocked_minor + suspense_minor <>
                       CASE WHEN status = 'lost' OR (status NOT IN ('won', 'closed') AND stage <> 'inquiry')
                            THEN amount_minor ELSE 0 END) AS wrong
        FROM disputes WHERE payment_id = p.id AND attempt_id IS NULL) AS d
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0) AS suspense FROM suspense_items
        WHERE payment_id = p.id AND attempt_id IS NULL AND currency = p.currency AND status = 'open') AS s
    WHERE p.disputed_minor <> d.blocked OR p.suspense_minor <> d.suspense + s.suspense OR d.wrong > 0
    """,
)

CHECKS = (
    PAYMENT_HAS_SAGA,
    SAGA_MATCHES_PAYMENT,
    OPEN_PAYMENTS_WATCHED,
    SAGAS_ONCE,
    CREATED_PAYMENTS,
    COMPENSATED_PAYMENTS,
    CANCELLED_PAYMENTS,
    CAPTURED_PAYMENTS,
    CAPTURES_ADD_UP,
    INCREMENTS_ADD_UP,
    DISPUTED_AMOUNTS,
)
