"""Checks of the state of sagas and their steps."""

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck
from sagas.thresholds import STUCK_AFTER_SECONDS

# A failed saga may keep a call in doubt: that is a reason why it needs review. After the retention, steps are dropped
# with their partition a little before the sagas are deleted.
TERMINAL_STEPS = IntegrityCheck(
    "terminal_steps",
    _("A finished saga has no step with a planned retry, an unknown outcome or a missing compensation."),
    """
    SELECT DISTINCT s.id::text AS id
    FROM saga_instances s LEFT JOIN saga_steps t ON t.saga_id = s.id
    WHERE s.created_at >= %(since)s AND s.status IN ('completed', 'compensated', 'failed')
      AND ((t.id IS NULL AND s.created_at > now() - make_interval(secs => %(saga_retention)s))
        OR t.next_retry_at IS NOT NULL
        OR (t.in_doubt AND s.status <> 'failed')
        OR (t.status <> 'completed' AND s.status = 'completed')
        OR (t.status = 'completed' AND s.status = 'compensated'))
    """,
)

# A worker or the sweep claims a due saga within seconds, so an unclaimed one means that both are down.
_STUCK_SINCE = f"now() - make_interval(secs => least(%(grace)s, {STUCK_AFTER_SECONDS}))"
STUCK_SAGAS = IntegrityCheck(
    "stuck_sagas",
    _("Every open saga has a worker, a planned retry or a signal to wait for, or needs review."),
    f"""
    SELECT s.id::text AS id
    FROM saga_instances s
    WHERE s.status IN ('pending', 'in_progress') AND NOT s.needs_attention
      AND (s.lease_expires_at <= {_STUCK_SINCE}
        OR (s.lease_expires_at IS NULL
            AND (s.waiting_until IS NULL OR s.waiting_until <= {_STUCK_SINCE})
            AND s.updated_at <= {_STUCK_SINCE}
            AND NOT EXISTS (
                SELECT 1 FROM saga_steps t
                WHERE t.saga_id = s.id AND t.status = 'failed'
                  AND t.next_retry_at > {_STUCK_SINCE})))
    """,  # noqa: S608
)

COMPLETED_SAGAS = IntegrityCheck(
    "completed_sagas",
    _("In a completed saga, the last effect of each step is a success or a person's decision."),
    """
    SELECT i.id::text AS id, coalesce(s.step_name || ' is ' || s.status, 'has no steps') AS detail
    FROM saga_instances i LEFT JOIN saga_steps s ON s.saga_id = i.id
    WHERE i.status = 'completed' AND i.created_at >= %(since)s
      AND CASE WHEN s.id IS NULL THEN i.created_at > now() - make_interval(secs => %(saga_retention)s)
          ELSE s.status <> 'completed' OR s.in_doubt OR s.next_retry_at IS NOT NULL
            OR NOT coalesce((
                SELECT e.kind = 'person' OR e.outcome = 'honoured' OR e.direction = 'forward'
                FROM saga_events e
                WHERE e.saga_id = i.id AND e.step_name = s.step_name
                  AND (e.kind = 'person' OR e.outcome IN ('success', 'honoured'))
                ORDER BY e.id DESC LIMIT 1), false) END
    UNION
    SELECT i.id::text, 'has ' || count(s.id) || ' steps, but current_step is ' || i.current_step
    FROM saga_instances i JOIN saga_steps s ON s.saga_id = i.id
    WHERE i.status = 'completed' AND i.created_at >= %(since)s
    GROUP BY i.id HAVING count(s.id) <> i.current_step
    """,
)

COMPENSATED_SAGAS = IntegrityCheck(
    "compensated_sagas",
    _(
        "In a compensated saga, every step that took effect, or may have, was compensated, and none is in doubt."
    ),
    """
    SELECT i.id::text AS id,
           s.step_name || ' is ' || s.status || CASE WHEN s.in_doubt THEN ' and in doubt' ELSE '' END AS detail
    FROM saga_instances i JOIN saga_steps s ON s.saga_id = i.id
    WHERE i.status = 'compensated' AND i.created_at >= %(since)s
      AND (s.status = 'completed' OR s.in_doubt OR s.next_retry_at IS NOT NULL
        OR (s.status <> 'compensated' AND EXISTS (
            SELECT 1 FROM saga_events e
            WHERE e.saga_id = i.id AND e.step_name = s.step_name AND e.direction = 'forward'
              AND e.kind = 'attempt' AND e.outcome = 'success'))
        OR (s.status <> 'compensated' AND (
            SELECT e.outcome FROM saga_events e
            WHERE e.saga_id = i.id AND e.step_name = s.step_name AND e.direction = 'forward' AND e.kind = 'attempt'
            ORDER BY e.id DESC LIMIT 1) IN ('unknown', 'undecidable')))
    """,
)

FINISHED_SAGAS = IntegrityCheck(
    "finished_sagas",
    _("No worker holds a finished saga, and a failed saga needs review or was closed by a person."),
    """
    SELECT i.id::text AS id, i.status || ', held by ' || i.lease_owner AS detail
    FROM saga_instances i
    WHERE i.status IN ('completed', 'compensated', 'failed') AND i.created_at >= %(since)s
      AND (i.lease_expires_at IS NOT NULL OR i.lease_owner <> '')
    UNION
    SELECT i.id::text, 'failed without a review'
    FROM saga_instances i
    WHERE i.status = 'failed' AND NOT i.needs_attention AND i.created_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM saga_events e WHERE e.saga_id = i.id AND e.kind = 'person')
    """,
)

# Compensation begins at the deadline and takes a while. While a channel is down it waits, with a planned retry.
SAGA_DEADLINES = IntegrityCheck(
    "saga_deadlines",
    _("After its deadline, a saga is finished, is being compensated, or needs review."),
    """
    SELECT i.id::text AS id, i.definition || ' is ' || i.status || ' after its deadline' AS detail
    FROM saga_instances i
    WHERE i.status NOT IN ('completed', 'compensated', 'failed') AND NOT i.needs_attention
      AND i.deadline_at <= now() - make_interval(secs => %(grace)s) AND i.created_at >= %(since)s
      AND NOT EXISTS (
        SELECT 1 FROM saga_steps t
        WHERE t.saga_id = i.id AND t.next_retry_at > now() - make_interval(secs => %(grace)s))
    """,
)

SIGNALS_CONSUMED = IntegrityCheck(
    "signals_consumed",
    _(
        "No saga waits for a signal that has arrived, or beyond its deadline; one attempt consumes one signal."
    ),
    """
    SELECT i.id::text AS id, 'waits for ' || i.waiting_for || ', which has arrived' AS detail
    FROM saga_instances i JOIN saga_signals g ON g.saga_id = i.id AND g.name = i.waiting_for AND g.taken_at IS NULL
    WHERE i.status NOT IN ('completed', 'compensated', 'failed') AND NOT i.needs_attention
      AND i.lease_expires_at IS NULL AND i.created_at >= %(since)s
      AND g.received_at <= now() - make_interval(secs => %(grace)s)
    UNION
    SELECT i.id::text, 'waits for ' || i.waiting_for || ' beyond its deadline'
    FROM saga_instances i WHERE i.waiting_until > i.deadline_at AND i.created_at >= %(since)s
    UNION
    SELECT i.id::text, g.taken_by || ' consumed ' || count(*) || ' signals in ' || min(attempts.count) || ' attempts'
    FROM saga_signals g JOIN saga_instances i ON i.id = g.saga_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS count FROM saga_events e
        WHERE e.saga_id = i.id AND e.step_name = g.taken_by AND e.kind = 'attempt' AND e.direction = 'forward'
    ) AS attempts
    WHERE g.taken_at IS NOT NULL AND i.created_at >= %(since)s
    GROUP BY i.id, g.taken_by HAVING count(*) > min(attempts.count)
    """,
)

CHECKS = (
    TERMINAL_STEPS,
    STUCK_SAGAS,
    COMPLETED_SAGAS,
    COMPENSATED_SAGAS,
    FINISHED_SAGAS,
    SAGA_DEADLINES,
    SIGNALS_CONSUMED,
)
