"""The SQL that matches lines with expectations.

Each statement works on whole sets, so that a million lines take minutes and no memory here.

Lines and expectations meet by kind and key: our number at the channel, or the channel's number where the line has none
of ours. Temporary tables hold one statement's work: `match_lines` and `match_expectations` are compared,
`match_groups` are those that do not agree one to one, and `match_pairs` has the outcome of each.
"""

# ruff: noqa: S608 - the SQL is put together from constants

from settlements.services.sql_parts import AS_REPORTED, UNDECIDED_CASES, insert_cases, of_account

# A fee may differ from the agreed one by its rounding.
FEE_TOLERANCE_MINOR = 1

# Lines of this statement, and lines that wait in a case for an expectation that came later.
LINES = f"""
CREATE TEMPORARY TABLE match_lines ON COMMIT DROP AS
SELECT line.id AS line_id, line.number, line.kind, line.currency, line.gross_minor, line.fee_minor, line.occurred_at,
       line.case_id AS old_case_id,
       line.occurred_at >= file.period_start AND line.occurred_at < file.period_end AS is_in_period,
       CASE WHEN rate.rate_millionths IS NOT NULL
            THEN round(line.gross_minor * rate.rate_millionths / 1000000.0) + sign(line.gross_minor) * rate.fixed_minor
            WHEN line.kind = 'payment' THEN round(line.gross_minor * line.fee_rate_millionths / 1000000.0)
       END AS agreed_fee_minor,
       CASE WHEN line.reference <> '' AND EXISTS (
                SELECT FROM statement_expectations AS named
                WHERE named.reference = line.reference AND named.kind = line.kind AND {of_account("named")})
            THEN line.reference
            ELSE coalesce(
                (SELECT numbered.reference FROM statement_expectations AS numbered
                 WHERE line.channel_no <> '' AND numbered.channel_no = line.channel_no AND numbered.kind = line.kind
                   AND {of_account("numbered")} LIMIT 1),
                nullif(line.reference, ''), nullif(line.channel_no, ''), line.id::text)
       END AS key
FROM (
    SELECT * FROM statement_lines WHERE file_id = %(file_id)s AND state = 'new' AND kind NOT IN {AS_REPORTED}
    UNION ALL
    SELECT * FROM statement_lines WHERE state = 'in_case' AND kind NOT IN {AS_REPORTED} AND case_id IN (
        {UNDECIDED_CASES} AND own.kind = 'unknown_line' AND own.write_off_requested_by = '')
) AS line
JOIN statement_files AS file ON file.id = line.file_id
LEFT JOIN LATERAL (
    SELECT agreed.rate_millionths, agreed.fixed_minor FROM channel_fee_rates AS agreed
    WHERE {of_account("agreed")} AND agreed.kind = line.kind AND agreed.currency = line.currency
      AND agreed.valid_from <= file.day
    ORDER BY agreed.valid_from DESC LIMIT 1) AS rate ON true
"""
INDEX_LINES = "CREATE INDEX ON match_lines (key, kind)"
ANALYZE_LINES = "ANALYZE match_lines"

# Open expectations, and those that are in a case because their line was missing.
EXPECTATIONS = f"""
CREATE TEMPORARY TABLE match_expectations ON COMMIT DROP AS
SELECT expected.entry_id, expected.kind, expected.reference AS key, expected.currency, expected.amount_minor,
       expected.occurred_at, expected.case_id AS old_case_id
FROM statement_expectations AS expected
WHERE {of_account("expected")} AND expected.reference IN (SELECT key FROM match_lines)
  AND (expected.state = 'open' OR expected.case_id IN (
      {UNDECIDED_CASES} AND own.kind = 'missing_line' AND own.write_off_requested_by = ''))
"""
ANALYZE_EXPECTATIONS = "ANALYZE match_expectations"

# One to one: the same key, currency and amount, in the order of time. A line is never later than the moment at which we
# learned of the money, and a payment is reported on its day.
PAIRS = f"""
CREATE TEMPORARY TABLE match_pairs ON COMMIT DROP AS
SELECT line.line_id, expected.entry_id, expected.entry_id AS match_id,
       line.agreed_fee_minor IS NULL OR abs(line.fee_minor - line.agreed_fee_minor) <= {FEE_TOLERANCE_MINOR}
           AS is_fee_agreed,
       line.is_in_period AND line.occurred_at <= expected.occurred_at + interval '1 hour'
           AND (line.kind <> 'payment' OR line.occurred_at > expected.occurred_at - interval '1 day') AS is_day_agreed
FROM (SELECT *, row_number() OVER (
          PARTITION BY kind, key, currency, gross_minor ORDER BY occurred_at, number, line_id) AS place
      FROM match_lines) AS line
JOIN (SELECT *, row_number() OVER (
          PARTITION BY kind, key, currency, amount_minor ORDER BY occurred_at, entry_id) AS place
      FROM match_expectations) AS expected
  ON expected.kind = line.kind AND expected.key = line.key AND expected.currency = line.currency
 AND expected.amount_minor = line.gross_minor AND expected.place = line.place
"""
ANALYZE_PAIRS = "ANALYZE match_pairs"

# The rest, by key: one line for many expectations, many lines for one, or a difference.
GROUPS = f"""
CREATE TEMPORARY TABLE match_groups ON COMMIT DROP AS
SELECT uuidv7() AS case_id, rest.kind, rest.key, sum(rest.line_count) AS line_count,
       sum(rest.expectation_count) AS expectation_count, sum(rest.reported_minor) AS reported_minor,
       sum(rest.expected_minor) AS expected_minor, count(DISTINCT rest.currency) AS currency_count,
       min(rest.currency) FILTER (WHERE rest.line_count > 0) AS reported_currency,
       min(rest.currency) FILTER (WHERE rest.expectation_count > 0) AS expected_currency,
       min(rest.entry_id) AS match_id, bool_and(rest.is_fee_agreed) AS is_fee_agreed,
       bool_and(rest.is_in_period)
           AND coalesce(max(rest.reported_at) <= max(rest.expected_at) + interval '1 hour', true) AS is_day_agreed,
       false AS is_pair
FROM (
    SELECT kind, key, currency, 1 AS line_count, 0 AS expectation_count, gross_minor AS reported_minor,
           0 AS expected_minor, NULL::bigint AS entry_id, is_in_period, occurred_at AS reported_at,
           NULL::timestamptz AS expected_at,
           agreed_fee_minor IS NULL OR abs(fee_minor - agreed_fee_minor) <= {FEE_TOLERANCE_MINOR} AS is_fee_agreed
    FROM match_lines AS line WHERE NOT EXISTS (SELECT FROM match_pairs AS pair WHERE pair.line_id = line.line_id)
    UNION ALL
    SELECT kind, key, currency, 0, 1, 0, amount_minor, entry_id, true, NULL, occurred_at, true
    FROM match_expectations AS expected
    WHERE NOT EXISTS (SELECT FROM match_pairs AS pair WHERE pair.entry_id = expected.entry_id)
) AS rest
GROUP BY rest.kind, rest.key
HAVING sum(rest.line_count) > 0
"""
# NULL: matched. A line that is unknown stays in the case that it has.
VERDICTS = f"""
ALTER TABLE match_groups ADD COLUMN verdict text;
UPDATE match_groups AS wanted SET verdict = CASE
    WHEN wanted.expectation_count > 0 AND wanted.currency_count > 1 THEN 'currency_differs'
    WHEN wanted.expectation_count > 0 AND wanted.reported_minor <> wanted.expected_minor THEN 'amount_differs'
    WHEN wanted.expectation_count > 0 AND NOT wanted.is_fee_agreed THEN 'fee_differs'
    WHEN wanted.expectation_count > 0 AND NOT wanted.is_day_agreed THEN 'day_differs'
    WHEN wanted.expectation_count > 0 THEN NULL
    WHEN EXISTS (
        SELECT FROM statement_expectations AS named
        WHERE named.reference = wanted.key AND named.kind = wanted.kind AND {of_account("named")})
    THEN 'duplicate_line'
    ELSE 'unknown_line' END;
DELETE FROM match_groups AS known WHERE known.verdict IN ('unknown_line', 'duplicate_line') AND NOT EXISTS (
    SELECT FROM match_lines AS line
    WHERE line.key = known.key AND line.kind = known.kind AND line.old_case_id IS NULL)
"""
# A pair whose fee or day differs is a group of its own.
PAIR_CASES = """
INSERT INTO match_groups (case_id, kind, key, line_count, expectation_count, reported_minor, expected_minor,
    currency_count, reported_currency, expected_currency, match_id, is_fee_agreed, is_day_agreed, is_pair, verdict)
SELECT uuidv7(), line.kind, line.key, 1, 1, line.gross_minor, line.gross_minor, 1, line.currency, line.currency,
       pair.match_id, pair.is_fee_agreed, pair.is_day_agreed, true,
       CASE WHEN pair.is_fee_agreed THEN 'day_differs' ELSE 'fee_differs' END
FROM match_pairs AS pair JOIN match_lines AS line ON line.line_id = pair.line_id
WHERE NOT (pair.is_fee_agreed AND pair.is_day_agreed);
ALTER TABLE match_pairs ADD COLUMN case_id uuid;
UPDATE match_pairs AS pair SET case_id = wanted.case_id
FROM match_groups AS wanted
WHERE wanted.is_pair AND wanted.match_id = pair.entry_id
"""
# The members of the groups join the pairs: from here on, one table says what becomes of each.
JOIN_GROUPS = """
ALTER TABLE match_pairs ALTER COLUMN line_id DROP NOT NULL;
INSERT INTO match_pairs (line_id, match_id, case_id)
SELECT line.line_id, wanted.match_id, CASE WHEN wanted.verdict IS NOT NULL THEN wanted.case_id END
FROM match_lines AS line JOIN match_groups AS wanted ON wanted.kind = line.kind AND wanted.key = line.key
WHERE NOT wanted.is_pair AND NOT EXISTS (SELECT FROM match_pairs AS pair WHERE pair.line_id = line.line_id)
  AND (line.old_case_id IS NULL OR wanted.verdict IS DISTINCT FROM 'unknown_line');
INSERT INTO match_pairs (entry_id, match_id, case_id)
SELECT expected.entry_id, wanted.match_id, CASE WHEN wanted.verdict IS NOT NULL THEN wanted.case_id END
FROM match_expectations AS expected
JOIN match_groups AS wanted ON wanted.kind = expected.kind AND wanted.key = expected.key
WHERE NOT wanted.is_pair
  AND NOT EXISTS (SELECT FROM match_pairs AS pair WHERE pair.entry_id = expected.entry_id)
"""
OPEN_CASES = insert_cases(
    source="match_groups WHERE verdict IS NOT NULL",
    kind="verdict",
    reference="left(key, 255)",
    currency="coalesce(expected_currency, reported_currency)",
    expected_minor="expected_minor",
    reported_minor="reported_minor",
    reported_currency="reported_currency",
    detail="jsonb_build_object('line_kind', kind, 'line_count', line_count, 'expectation_count', expectation_count)",
)
SETTLE_LINES = """
UPDATE statement_lines AS line
SET state = CASE WHEN pair.case_id IS NULL THEN 'matched' ELSE 'in_case' END,
    match_id = CASE WHEN pair.case_id IS NULL THEN pair.match_id END, case_id = pair.case_id
FROM match_pairs AS pair WHERE line.id = pair.line_id
"""
SETTLE_EXPECTATIONS = """
UPDATE statement_expectations AS expected
SET state = CASE WHEN pair.case_id IS NULL THEN 'met' ELSE 'in_case' END,
    match_id = CASE WHEN pair.case_id IS NULL THEN pair.match_id END, case_id = pair.case_id
FROM match_pairs AS pair WHERE expected.entry_id = pair.entry_id
"""
# A case that has lost its lines and expectations is over: the other side has come.
CLOSE_EMPTY_CASES = """
UPDATE settlement_cases AS emptied SET state = 'resolved', resolution = 'arrived', resolved_at = now()
WHERE emptied.id IN (
        SELECT old_case_id FROM match_lines UNION SELECT old_case_id FROM match_expectations)
  AND emptied.state <> 'resolved'
  AND NOT EXISTS (SELECT FROM statement_lines WHERE case_id = emptied.id)
  AND NOT EXISTS (SELECT FROM statement_expectations WHERE case_id = emptied.id)
"""
DROP = "DROP TABLE match_lines, match_expectations, match_pairs, match_groups"

# In their order, each with the label under which its progress is shown.
STEPS = (
    ("lines", LINES),
    ("", INDEX_LINES),
    ("", ANALYZE_LINES),
    ("expectations", EXPECTATIONS),
    ("", ANALYZE_EXPECTATIONS),
    ("one to one", PAIRS),
    ("", ANALYZE_PAIRS),
    ("groups", GROUPS),
    ("", VERDICTS),
    ("", PAIR_CASES),
    ("", JOIN_GROUPS),
    ("cases", OPEN_CASES),
    ("lines settled", SETTLE_LINES),
    ("expectations settled", SETTLE_EXPECTATIONS),
    ("", CLOSE_EMPTY_CASES),
    ("", DROP),
)
