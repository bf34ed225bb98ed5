"""Rules about what sagas did and in which order: `saga_instances`, `saga_steps` and `saga_events` alone."""

from monitoring.books.rule import Rule

EFFECT_ONCE = Rule(
    "effect_once",
    "No step takes effect twice in a row: an effect is undone before it may come again.",
    """
    SELECT e.saga_id::text AS id, e.step_name || ' ' || e.direction || ' succeeded twice' AS what
    FROM (
        SELECT saga_id, step_name, direction,
               lag(direction) OVER (PARTITION BY saga_id, step_name ORDER BY id) AS before
        FROM saga_events WHERE kind = 'attempt' AND outcome = 'success'
    ) e JOIN saga_instances i ON i.id = e.saga_id
    WHERE e.direction = e.before AND i.created_at >= %(since)s
    """,
)

COMPLETED = Rule(
    "completed",
    "In a completed saga each step stands: its last effect is a success, or what a person made of it.",
    """
    SELECT i.id::text AS id, coalesce(s.step_name || ' is ' || s.status, 'has no steps') AS what
    FROM saga_instances i LEFT JOIN saga_steps s ON s.saga_id = i.id
    WHERE i.status = 'completed' AND i.created_at >= %(since)s
      AND (s.id IS NULL OR s.status <> 'completed' OR s.in_doubt OR s.next_retry_at IS NOT NULL
        OR NOT coalesce((
            SELECT e.kind = 'person' OR e.outcome = 'honoured' OR e.direction = 'forward'
            FROM saga_events e
            WHERE e.saga_id = i.id AND e.step_name = s.step_name
              AND (e.kind = 'person' OR e.outcome IN ('success', 'honoured'))
            ORDER BY e.id DESC LIMIT 1), false))
    UNION
    SELECT i.id::text, 'has ' || count(s.id) || ' steps, and counts ' || i.current_step
    FROM saga_instances i JOIN saga_steps s ON s.saga_id = i.id
    WHERE i.status = 'completed' AND i.created_at >= %(since)s
    GROUP BY i.id HAVING count(s.id) <> i.current_step
    """,
)

COMPENSATED = Rule(
    "compensated",
    "In a compensated saga no step stands and none is in doubt: what happened, or may have, was undone.",
    """
    SELECT i.id::text AS id,
           s.step_name || ' is ' || s.status || CASE WHEN s.in_doubt THEN ' and in doubt' ELSE '' END AS what
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

REVERSE_ORDER = Rule(
    "reverse_order",
    "Steps are undone newest first.",
    """
    SELECT e.saga_id::text AS id, e.step_name || ' was undone after an older step' AS what
    FROM (
        SELECT a.saga_id, a.step_name, s.step_order,
               lag(s.step_order) OVER (PARTITION BY a.saga_id ORDER BY a.id) AS before
        FROM saga_events a JOIN saga_steps s ON s.saga_id = a.saga_id AND s.step_name = a.step_name
        WHERE a.kind = 'attempt' AND a.direction = 'compensating' AND a.outcome = 'success'
    ) e JOIN saga_instances i ON i.id = e.saga_id
    WHERE e.step_order > e.before AND i.created_at >= %(since)s
    UNION
    SELECT i.id::text, newer.step_name || ' was undone after an older step'
    FROM saga_instances i
    JOIN saga_steps older ON older.saga_id = i.id AND older.status = 'compensated'
    JOIN saga_steps newer ON newer.saga_id = i.id AND newer.status = 'compensated'
     AND newer.step_order > older.step_order AND newer.compensated_at > older.compensated_at
    WHERE i.created_at >= %(since)s
    """,
)

FENCES = Rule(
    "fences",
    "Nobody writes under a fence that a later claim has superseded, and a fence is one worker's.",
    """
    SELECT e.saga_id::text AS id, 'fence ' || e.fence || ' wrote after ' || e.before AS what
    FROM (
        SELECT saga_id, fence, lag(fence) OVER (PARTITION BY saga_id ORDER BY id) AS before FROM saga_events
    ) e JOIN saga_instances i ON i.id = e.saga_id
    WHERE e.fence < e.before AND i.created_at >= %(since)s
    UNION
    SELECT i.id::text, 'fence ' || e.fence || ' was never given out'
    FROM saga_instances i JOIN saga_events e ON e.saga_id = i.id AND e.fence > i.fence
    WHERE i.created_at >= %(since)s
    UNION
    SELECT i.id::text, 'fence ' || e.fence || ' ended what ' || i.fence || ' held'
    FROM saga_instances i
    JOIN saga_events e ON e.saga_id = i.id AND e.kind = 'attempt' AND e.fence <> i.fence
     AND e.created_at >= coalesce(i.completed_at, i.compensated_at)
    WHERE i.created_at >= %(since)s
    UNION
    SELECT i.id::text, 'fence ' || e.fence || ' was used by ' || string_agg(DISTINCT e.worker, ' and ')
    FROM saga_instances i JOIN saga_events e ON e.saga_id = i.id AND e.kind = 'attempt'
    WHERE i.created_at >= %(since)s
    GROUP BY i.id, e.fence HAVING count(DISTINCT e.worker) > 1
    """,
)

AT_REST = Rule(
    "at_rest",
    "A saga that is over is held by nobody; one that failed is, or was, a person's.",
    """
    SELECT i.id::text AS id, i.status || ', held by ' || i.lease_owner AS what
    FROM saga_instances i
    WHERE i.status IN ('completed', 'compensated', 'failed') AND i.created_at >= %(since)s
      AND (i.lease_expires_at IS NOT NULL OR i.lease_owner <> '')
    UNION
    SELECT i.id::text, 'failed, and nobody was told'
    FROM saga_instances i
    WHERE i.status = 'failed' AND NOT i.needs_attention AND i.created_at >= %(since)s
      AND NOT EXISTS (SELECT 1 FROM saga_events e WHERE e.saga_id = i.id AND e.kind = 'person')
    """,
)

ON_TIME = Rule(
    "on_time",
    "By its deadline a saga is over or left to a person.",
    """
    SELECT i.id::text AS id, i.definition || ' is ' || i.status || ' after its deadline' AS what
    FROM saga_instances i
    WHERE i.status NOT IN ('completed', 'compensated', 'failed') AND NOT i.needs_attention
      AND i.deadline_at <= now() - make_interval(secs => %(grace)s) AND i.created_at >= %(since)s
    """,
)

SIGNALS_HEARD = Rule(
    "signals_heard",
    "Nobody waits for a signal that is there, or beyond a deadline; a signal is taken up by one attempt of one step.",
    """
    SELECT i.id::text AS id, 'waits for ' || i.waiting_for || ', which is there' AS what
    FROM saga_instances i JOIN saga_signals g ON g.saga_id = i.id AND g.name = i.waiting_for AND g.taken_at IS NULL
    WHERE i.status NOT IN ('completed', 'compensated', 'failed') AND NOT i.needs_attention
      AND i.lease_expires_at IS NULL AND i.created_at >= %(since)s
    UNION
    SELECT i.id::text, 'waits for ' || i.waiting_for || ' beyond its deadline'
    FROM saga_instances i WHERE i.waiting_until > i.deadline_at AND i.created_at >= %(since)s
    UNION
    SELECT i.id::text, g.taken_by || ' took ' || count(*) || ' signals in ' || min(attempts.count) || ' attempts'
    FROM saga_signals g JOIN saga_instances i ON i.id = g.saga_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS count FROM saga_events e
        WHERE e.saga_id = i.id AND e.step_name = g.taken_by AND e.kind = 'attempt' AND e.direction = 'forward'
    ) AS attempts
    WHERE g.taken_at IS NOT NULL AND i.created_at >= %(since)s
    GROUP BY i.id, g.taken_by HAVING count(*) > min(attempts.count)
    """,
)

RULES = (EFFECT_ONCE, COMPLETED, COMPENSATED, REVERSE_ORDER, FENCES, AT_REST, ON_TIME, SIGNALS_HEARD)
