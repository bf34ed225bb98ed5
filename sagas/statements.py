"""The engine's SQL. Every write after the first says `fence = mine`; no row means that another worker holds the saga.

It is written by hand because one statement writes instance, steps and history together. Casts tell PostgreSQL the types
of parameters that it prepares a statement for. Lock order of the platform: business rows first, the saga's row last.
"""

# `rows` are INSERTs of the rows that are written together with the saga.
INSERT = """
WITH saga AS (
    INSERT INTO saga_instances (
        id, business_id, business_type, definition, definition_version, status, direction, past_pivot,
        current_step, error_code, error_message, metadata, lease_owner, lease_expires_at, fence, revision,
        claims_without_progress, deadline_at, needs_attention, attention_reason, trace_context, completed_at,
        task_queue, fairness_key)
    VALUES (
        %(id)s::uuid, %(business_id)s, %(business_type)s, %(definition)s, %(definition_version)s, %(status)s::text,
        'forward', %(past_pivot)s, %(current_step)s, '', '', %(metadata)s::jsonb, %(lease_owner)s,
        CASE WHEN %(status)s::text IN ('pending', 'in_progress')
             THEN now() + make_interval(secs => %(lease_seconds)s::float8) END,
        %(fence)s::bigint, 1, 0, now() + make_interval(secs => %(deadline_in_seconds)s::float8), false, '',
        %(trace_context)s::jsonb, CASE WHEN %(status)s::text = 'completed' THEN now() END,
        %(task_queue)s, %(fairness_key)s)
), steps AS (
    INSERT INTO saga_steps (
        id, saga_id, step_order, step_name, status, in_doubt, compensating, execute_data, result, error_message,
        executed_at, retry_count, max_retry_count, call_number, intended_at)
    SELECT v.id, %(id)s::uuid, v.step_order, v.step_name, v.status, v.in_doubt, false, v.execute_data, v.result, '',
           CASE WHEN v.sets_executed_at THEN now() END, 0, v.max_retry_count, v.call_number,
           CASE WHEN v.sets_intended_at THEN now() END
    FROM jsonb_to_recordset(%(steps)s::jsonb) AS v(
        id uuid, step_order int, step_name text, status text, in_doubt bool, execute_data jsonb, result jsonb,
        sets_executed_at bool, max_retry_count int, call_number int, sets_intended_at bool)
), events AS (
    INSERT INTO saga_events (saga_id, kind, step_name, direction, outcome, detail, duration_ms, fence, worker,
                             actor, reason)
    SELECT %(id)s::uuid, 'attempt', v.step_name, v.direction, v.outcome, v.detail, v.duration_ms,
           %(fence)s::bigint, %(worker)s::text, '', ''
    FROM jsonb_to_recordset(%(attempts)s::jsonb) AS v(
        step_name text, direction text, outcome text, detail jsonb, duration_ms int)
){rows}
SELECT now()
"""

# `update` is an UPDATE of another table's row that is written together with the saga, and `updated` its count. A
# cancellation that the worker does not know leaves the saga as it was, unless the worker's transaction looks at it.
SAVE = """
WITH saga AS (
    UPDATE saga_instances SET
        status = %(status)s::text, direction = %(direction)s, past_pivot = %(past_pivot)s,
        current_step = %(current_step)s, error_code = %(error_code)s, error_message = %(error_message)s,
        needs_attention = %(attention_reason)s::text <> '', attention_reason = %(attention_reason)s::text,
        claims_without_progress = %(claims_without_progress)s, waiting_for = %(waiting_for)s::text,
        waiting_until = CASE WHEN %(waiting_for)s::text = '' THEN NULL
                             WHEN %(wait_seconds)s::float8 IS NULL THEN waiting_until
                             ELSE least(now() + make_interval(secs => %(wait_seconds)s::float8), deadline_at) END,
        deadline_at = CASE WHEN %(deadline_in_seconds)s::float8 IS NULL THEN deadline_at
                           ELSE greatest(deadline_at,
                                         now() + make_interval(secs => %(deadline_in_seconds)s::float8)) END,
        lease_owner = CASE WHEN %(keeps_lease)s::bool THEN lease_owner ELSE '' END,
        lease_expires_at = CASE WHEN %(keeps_lease)s::bool
                                THEN now() + make_interval(secs => %(lease_seconds)s::float8) END,
        completed_at = CASE WHEN %(status)s::text = 'completed' THEN now() END,
        compensated_at = CASE WHEN %(status)s::text = 'compensated' THEN now() END,
        updated_at = now(), revision = revision + 1
    WHERE id = %(id)s AND fence = %(fence)s::bigint
      AND (%(accepts_cancellation)s::bool OR cancel_requested_at IS NULL)
    RETURNING id, cancel_requested_at IS NOT NULL AS cancel_requested, deadline_at <= now() AS deadline_passed,
              extract(epoch FROM clock_timestamp() - created_at)::float8 AS age_seconds, signals_received
), steps AS (
    UPDATE saga_steps AS s SET
        status = v.status, in_doubt = v.in_doubt, compensating = v.compensating, result = v.result,
        execute_data = coalesce(v.execute_data, s.execute_data),
        error_message = v.error_message, retry_count = v.retry_count,
        next_retry_at = CASE WHEN v.retry_in_seconds IS NOT NULL
                             THEN now() + make_interval(secs => v.retry_in_seconds) END,
        executed_at = CASE WHEN v.sets_executed_at THEN now() ELSE s.executed_at END,
        compensated_at = CASE WHEN v.sets_compensated_at THEN now() ELSE s.compensated_at END,
        call_number = v.call_number,
        intended_at = CASE WHEN v.sets_intended_at THEN now() ELSE v.intended_at END,
        updated_at = now()
    FROM jsonb_to_recordset(%(steps)s::jsonb) AS v(
        id uuid, status text, in_doubt bool, compensating bool, execute_data jsonb, result jsonb, error_message text,
        retry_count int, retry_in_seconds float8, sets_executed_at bool, sets_compensated_at bool, call_number int,
        sets_intended_at bool, intended_at timestamptz)
    WHERE s.id = v.id AND s.saga_id = (SELECT id FROM saga)
), events AS (
    INSERT INTO saga_events (saga_id, kind, step_name, direction, outcome, detail, duration_ms, fence, worker,
                             actor, reason)
    SELECT saga.id, 'attempt', v.step_name, v.direction, v.outcome, v.detail, v.duration_ms, %(fence)s::bigint,
           %(worker)s::text, '', ''
    FROM saga, jsonb_to_recordset(%(attempts)s::jsonb) AS v(
        step_name text, direction text, outcome text, detail jsonb, duration_ms int)
){update}
SELECT cancel_requested, deadline_passed, age_seconds, signals_received, now(){updated} FROM saga
"""

# What a claim changes and returns. The time for which the saga was due and unclaimed is added to its deadline, so that
# neither an outage of ours nor a backlog fails it. Only the database's clock is read.
_CLAIMED = """
    UPDATE saga_instances AS i SET
        fence = fence + 1, revision = revision + 1, status = 'in_progress', lease_owner = %(worker)s,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s::float8), retry_at = NULL,
        deadline_at = deadline_at + (now() - due_at), claims_without_progress = claims_without_progress + 1,
        updated_at = now()
    WHERE {which} AND due_at <= now()
    RETURNING id, definition, definition_version, business_id, metadata, direction, past_pivot, error_code,
              error_message, fence, claims_without_progress, deadline_at <= now() AS deadline_passed,
              cancel_requested_at IS NOT NULL AS cancel_requested, waiting_for,
              coalesce(waiting_until <= now(), false) AS wait_is_over, signals_received, trace_context, task_queue,
              fairness_key
"""
# PostgreSQL locks the tables of a statement in the order of its text. `claimed` comes first, because all lock
# `saga_instances` before `saga_steps` (ADR 40).
# The condition on the steps names no status, so that PostgreSQL cannot use the index of due retries: every claim would
# read all due steps in it.
_STEPS_OF_CLAIMED = "SELECT id, saga_id, status, next_retry_at FROM saga_steps WHERE {which}"
_RESUMED = """
    UPDATE saga_steps AS s SET status = 'pending', next_retry_at = NULL, updated_at = now()
    FROM claimed_steps AS known, claimed
    WHERE s.id = known.id AND s.saga_id = known.saga_id AND known.saga_id = claimed.id
      AND known.status = 'failed' AND known.next_retry_at IS NOT NULL
      AND s.status = known.status AND s.next_retry_at IS NOT DISTINCT FROM known.next_retry_at
"""

# One saga, when it is due.
CLAIM = f"""
WITH claimed AS ({_CLAIMED.format(which="id = %(id)s")}
), claimed_steps AS MATERIALIZED ({_STEPS_OF_CLAIMED.format(which="saga_id = %(id)s")}
), resumed AS ({_RESUMED})
SELECT * FROM claimed
"""  # noqa: S608

# The due sagas of a task queue, fairly between keys (ADR 22). `walk` goes from key to key in the index of due sagas, at
# most `keys` of them, so that the cost depends neither on the number of due sagas nor on the number of keys. A place
# goes to the key that holds the fewest. No key holds more places than stay free: one key alone gets half of them, so a
# new key always finds a place. Of the sagas whose last worker died, at most `possibly_poison` are claimed: one
# of them may be a poison saga. The first sagas of a key are read as the next rows of the index, and rows of other keys
# are dropped afterwards: whatever the statistics are, the planner cannot read all due sagas instead.
CLAIM_DUE = f"""
WITH RECURSIVE walk AS (
    (SELECT fairness_key, due_at, 1 AS number FROM saga_instances
     WHERE task_queue = %(task_queue)s AND due_at IS NOT NULL AND fairness_key > %(after)s::text
     ORDER BY fairness_key, due_at LIMIT 1)
    UNION ALL
    SELECT following.fairness_key, following.due_at, walk.number + 1 FROM walk CROSS JOIN LATERAL (
        SELECT fairness_key, due_at FROM saga_instances
        WHERE task_queue = %(task_queue)s AND due_at IS NOT NULL AND fairness_key > walk.fairness_key
        ORDER BY fairness_key, due_at LIMIT 1) AS following
    WHERE walk.number < %(keys)s::int
), candidates AS (
    SELECT due.*, row_number() OVER (PARTITION BY due.may_be_poison ORDER BY due.due_at, due.id) AS number
    FROM walk CROSS JOIN LATERAL (
        SELECT id, fairness_key, due_at, claims_without_progress > 0 AS may_be_poison FROM (
            SELECT id, fairness_key, due_at, claims_without_progress FROM saga_instances
            WHERE task_queue = %(task_queue)s AND due_at IS NOT NULL AND fairness_key >= walk.fairness_key
            ORDER BY fairness_key, due_at LIMIT %(window)s::int) AS next
        WHERE next.fairness_key = walk.fairness_key
          AND next.due_at <= now() - make_interval(secs => %(overdue_seconds)s::float8)) AS due
    WHERE walk.due_at <= now() - make_interval(secs => %(overdue_seconds)s::float8)
), ranked AS (
    SELECT id, due_at, coalesce(held.sagas, 0)
           + row_number() OVER (PARTITION BY candidates.fairness_key ORDER BY due_at, id) AS rank
    FROM candidates LEFT JOIN (
        SELECT key AS fairness_key, value::int AS sagas FROM jsonb_each_text(%(held)s::jsonb)) AS held
        ON held.fairness_key = candidates.fairness_key
    WHERE NOT may_be_poison OR number <= %(possibly_poison)s::int
), ranked_by_fairness AS (
    SELECT id, rank, row_number() OVER (ORDER BY rank, due_at, id) AS fair_rank FROM ranked
), picked AS MATERIALIZED (
    SELECT id FROM ranked_by_fairness
    WHERE fair_rank <= %(places)s::int AND rank <= greatest(1, %(places)s::int - fair_rank)
), locked AS MATERIALIZED (
    SELECT id FROM saga_instances WHERE id IN (SELECT id FROM picked) AND due_at <= now() FOR UPDATE SKIP LOCKED
), claimed AS ({_CLAIMED.format(which="id IN (SELECT id FROM locked)")}
), claimed_steps AS MATERIALIZED ({_STEPS_OF_CLAIMED.format(which="saga_id IN (SELECT id FROM locked)")}
), resumed AS ({_RESUMED})
SELECT totals.*, claimed.*
FROM (SELECT (SELECT count(*) FROM ranked_by_fairness) AS candidates, (SELECT count(*) FROM picked) AS picked,
             (SELECT max(fairness_key) FROM walk) AS last_key, (SELECT count(*) FROM walk) AS walked) AS totals
LEFT JOIN claimed ON true
"""  # noqa: S608

STEPS = """
SELECT id, step_order, step_name, status, in_doubt, compensating, result, error_message, retry_count, max_retry_count,
       call_number, intended_at, saga_id
FROM saga_steps WHERE saga_id = ANY(%s) ORDER BY saga_id, step_order
"""

# A saga of a definition that this release does not know. While a newer release is rolled out, one of its workers will
# claim the saga: it is due again after a pause. A saga needs review when it is older than the time for which two
# releases run together.
PUT_BACK = """
UPDATE saga_instances SET
    needs_attention = created_at <= now() - make_interval(secs => %(roll_out_seconds)s::float8),
    attention_reason = CASE WHEN created_at <= now() - make_interval(secs => %(roll_out_seconds)s::float8)
                            THEN %(reason)s::text ELSE '' END,
    lease_expires_at = CASE WHEN created_at > now() - make_interval(secs => %(roll_out_seconds)s::float8)
                            THEN now() + make_interval(secs => %(pause_seconds)s::float8) END,
    lease_owner = '', claims_without_progress = claims_without_progress - 1, revision = revision + 1,
    updated_at = now()
WHERE id = %(id)s AND fence = %(fence)s
"""

# Sagas that wait or need review. A step that failed past the pivot is tried again. Any other failure stays: the saga is
# compensated once the calls of its group are decided.
WAKE = """
UPDATE saga_instances SET
    lease_expires_at = statement_timestamp(),
    error_code = CASE WHEN needs_attention AND direction = 'forward' THEN '' ELSE error_code END,
    error_message = CASE WHEN needs_attention AND direction = 'forward' THEN '' ELSE error_message END,
    needs_attention = false, attention_reason = '', claims_without_progress = 0,
    revision = revision + 1, updated_at = statement_timestamp()
WHERE {which} AND status IN ('pending', 'in_progress') AND lease_expires_at IS NULL
RETURNING task_queue
"""
