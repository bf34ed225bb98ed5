"""Checks of what sagas did, and in which order: `saga_events`."""

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

STEP_EFFECTS_ONCE = IntegrityCheck(
    "step_effects_once",
    _("No step takes effect twice in a row: an effect is compensated before it may come again."),
    """
    SELECT e.saga_id::text AS id, e.step_name || ' ' || e.direction || ' succeeded twice' AS detail
    FROM (
        SELECT a.saga_id, a.step_name, a.direction,
               lag(a.direction) OVER (PARTITION BY a.saga_id, a.step_name ORDER BY a.id) AS before
        FROM saga_events a JOIN saga_instances i ON i.id = a.saga_id AND i.created_at >= %(since)s
        WHERE a.kind = 'attempt' AND a.outcome = 'success'
    ) e
    WHERE e.direction = e.before
    """,
)

COMPENSATION_ORDER = IntegrityCheck(
    "compensation_order",
    _("Steps are compensated in reverse order."),
    """
    SELECT e.saga_id::text AS id, e.step_name || ' was compensated after an older step' AS detail
    FROM (
        SELECT a.saga_id, a.step_name, s.step_order,
               lag(s.step_order) OVER (PARTITION BY a.saga_id ORDER BY a.id) AS before
        FROM saga_events a
        JOIN saga_instances i ON i.id = a.saga_id AND i.created_at >= %(since)s
        JOIN saga_steps s ON s.saga_id = a.saga_id AND s.step_name = a.step_name
        WHERE a.kind = 'attempt' AND a.direction = 'compensating' AND a.outcome = 'success'
    ) e
    WHERE e.step_order > e.before
    UNION
    SELECT i.id::text, newer.step_name || ' was compensated after an older step'
    FROM saga_instances i
    JOIN saga_steps older ON older.saga_id = i.id AND older.status = 'compensated'
    JOIN saga_steps newer ON newer.saga_id = i.id AND newer.status = 'compensated'
     AND newer.step_order > older.step_order AND newer.compensated_at > older.compensated_at
    WHERE i.created_at >= %(since)s
    """,
)

FENCING_TOKENS = IntegrityCheck(
    "fencing_tokens",
    _(
        "No worker writes with a fencing token that a later claim has replaced, and each token belongs to one worker."
    ),
    """
    SELECT e.saga_id::text AS id, 'token ' || e.fence || ' wrote after ' || e.before AS detail
    FROM (
        SELECT a.saga_id, a.fence, lag(a.fence) OVER (PARTITION BY a.saga_id ORDER BY a.id) AS before
        FROM saga_events a JOIN saga_instances i ON i.id = a.saga_id AND i.created_at >= %(since)s
    ) e
    WHERE e.fence < e.before
    UNION
    SELECT i.id::text, 'token ' || e.fence || ' was never given to a worker'
    FROM saga_instances i JOIN saga_events e ON e.saga_id = i.id AND e.fence > i.fence
    WHERE i.created_at >= %(since)s
    UNION
    SELECT i.id::text, 'token ' || e.fence || ' finished a saga held with ' || i.fence
    FROM saga_instances i
    JOIN saga_events e ON e.saga_id = i.id AND e.kind = 'attempt' AND e.fence <> i.fence
     AND e.created_at >= coalesce(i.completed_at, i.compensated_at)
    WHERE i.created_at >= %(since)s
    UNION
    SELECT i.id::text, 'token ' || e.fence || ' was used by ' || string_agg(DISTINCT e.worker, ' and ')
    FROM saga_instances i JOIN saga_events e ON e.saga_id = i.id AND e.kind = 'attempt'
    WHERE i.created_at >= %(since)s
    GROUP BY i.id, e.fence HAVING count(DISTINCT e.worker) > 1
    """,
)

CHECKS = (STEP_EFFECTS_ONCE, COMPENSATION_ORDER, FENCING_TOKENS)
