"""The SQL of matching. Each statement works on whole sets, so that a million lines take minutes and no memory here.

Lines and expectations meet by kind and key: our number at the channel, or the channel's number where the line has none
of ours. Temporary tables hold one statement's work and end with its transaction.
"""

# ruff: noqa: S608 - the SQL is put together from constants of this module

SCOPE = """{0}.channel = %(channel)s AND {0}.environment = %(environment)s
    AND {0}.channel_account_id IS NOT DISTINCT FROM %(account_id)s"""
_UNDECIDED = (
    "SELECT id FROM settlement_cases AS own WHERE own.state IN ('open', 'asked') AND " + SCOPE.format("own")
)
# How much a fee may differ from the agreed one: its rounding.
FEE_TOLERANCE_MINOR = 1

# Kinds that are posted as reported, without an expectation.
AS_REPORTED = "('fee', 'payout', 'rounding')"

# Of a line `known` that was settled before `line`: the same kind of movement of the same account.
_IS_KNOWN = f"""known.kind = line.kind AND known.kind IN {AS_REPORTED} AND known.currency = line.currency
    AND sign(known.net_minor) = sign(line.net_minor) AND {SCOPE.format("file")} AND known.state <> 'voided'
    AND {{is_first}}"""
_IS_ALIKE = """(line.channel_no <> '' AND line.channel_no IN (known.channel_no, known.line_no)
    OR known.channel_no <> '' AND known.channel_no = line.line_no
    OR known.file_id <> line.file_id AND known.occurred_at = line.occurred_at)"""

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
                WHERE named.reference = line.reference AND named.kind = line.kind AND {SCOPE.format("named")})
            THEN line.reference
            ELSE coalesce(
                (SELECT numbered.reference FROM statement_expectations AS numbered
                 WHERE line.channel_no <> '' AND numbered.channel_no = line.channel_no AND numbered.kind = line.kind
                   AND {SCOPE.format("numbered")} LIMIT 1),
                nullif(line.reference, ''), nullif(line.channel_no, ''), line.id::text)
       END AS key
FROM (
    SELECT * FROM statement_lines WHERE file_id = %(file_id)s AND state = 'new' AND kind NOT IN {AS_REPORTED}
    UNION ALL
    SELECT * FROM statement_lines WHERE state = 'in_case' AND kind NOT IN {AS_REPORTED} AND case_id IN (
        {_UNDECIDED} AND own.kind = 'unknown_line' AND own.write_off_requested_by = '')
) AS line
JOIN statement_files AS file ON file.id = line.file_id
LEFT JOIN LATERAL (
    SELECT agreed.rate_millionths, agreed.fixed_minor FROM channel_fee_rates AS agreed
    WHERE {SCOPE.format("agreed")} AND agreed.kind = line.kind AND agreed.currency = line.currency
      AND agreed.valid_from <= file.day
    ORDER BY agreed.valid_from DESC LIMIT 1) AS rate ON true
"""
INDEX_LINES = "CREATE INDEX ON match_lines (key, kind)"
ANALYZE_LINES = "ANALYZE match_lines"

# Open ones, and those whose line was missing so far.
EXPECTATIONS = f"""
CREATE TEMPORARY TABLE match_expectations ON COMMIT DROP AS
SELECT expected.entry_id, expected.kind, expected.reference AS key, expected.currency, expected.amount_minor,
       expected.occurred_at, expected.case_id AS old_case_id
FROM statement_expectations AS expected
WHERE {SCOPE.format("expected")} AND expected.reference IN (SELECT key FROM match_lines)
  AND (expected.state = 'open' OR expected.case_id IN (
      {_UNDECIDED} AND own.kind = 'missing_line' AND own.write_off_requested_by = ''))
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

# What is left, by key: one line for many expectations, many for one, or a difference.
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
        WHERE named.reference = wanted.key AND named.kind = wanted.kind AND {SCOPE.format("named")})
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
OPEN_CASES = """
INSERT INTO settlement_cases (id, channel, environment, channel_account_id, kind, reference, currency, expected_minor,
    reported_minor, reported_currency, detail, state, owner, reason, write_off_requested_by, resolution, resolved_by)
SELECT case_id, %(channel)s, %(environment)s, %(account_id)s, verdict, left(key, 255),
       coalesce(expected_currency, reported_currency), expected_minor, reported_minor, reported_currency,
       concat_ws(', ', kind, line_count || ' lines', expectation_count || ' expectations'), 'open', '', '', '', '', ''
FROM match_groups WHERE verdict IS NOT NULL
"""
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
# A payout is compared with the lines that it pays, where the channel says which.
PAYOUT_CASES = f"""
WITH payout AS (
    SELECT line.id, line.payout_no, line.net_minor, line.currency, uuidv7() AS case_id,
           (SELECT sum(paid.net_minor)
            FROM statement_lines AS paid JOIN statement_files AS file ON file.id = paid.file_id
            WHERE paid.payout_no = line.payout_no AND paid.kind <> 'payout' AND paid.state <> 'voided'
              AND {SCOPE.format("file")}) AS paid_minor
    FROM statement_lines AS line
    WHERE line.file_id = %(file_id)s AND line.state = 'new' AND line.kind = 'payout' AND line.payout_no <> ''
      AND line.net_minor < 0
), differing AS (
    SELECT * FROM payout WHERE paid_minor + net_minor <> 0
), opened AS (
    INSERT INTO settlement_cases (id, channel, environment, channel_account_id, kind, reference, currency,
        expected_minor, reported_minor, reported_currency, detail, state, owner, reason, write_off_requested_by,
        resolution, resolved_by)
    SELECT case_id, %(channel)s, %(environment)s, %(account_id)s, 'payout_differs', payout_no, currency, -paid_minor,
           net_minor, currency, 'payout', 'open', '', '', '', '', ''
    FROM differing
)
UPDATE statement_lines AS line SET state = 'in_case', case_id = differing.case_id
FROM differing WHERE line.id = differing.id
"""
# A fee, payout or rounding that another line of the account has reported before, such as a day that was fetched and is
# imported as CSV too. The same movement has the same number; a CSV without the channel's number of the movement has the
# same amount and another number of it, or the same time.
_IS_DUPLICATE = f"""(
    line.line_no <> '' AND EXISTS (
        SELECT FROM statement_lines AS known JOIN statement_files AS file ON file.id = known.file_id
        WHERE known.line_no = line.line_no AND {_IS_KNOWN})
    OR line.kind = 'payout' AND line.payout_no <> '' AND EXISTS (
        SELECT FROM statement_lines AS known JOIN statement_files AS file ON file.id = known.file_id
        WHERE known.payout_no = line.payout_no AND {_IS_KNOWN})
    OR line.line_no <> '' AND EXISTS (
        SELECT FROM statement_lines AS known JOIN statement_files AS file ON file.id = known.file_id
        WHERE known.net_minor = line.net_minor AND known.line_no = '' AND {_IS_KNOWN} AND {_IS_ALIKE})
    OR line.line_no = '' AND EXISTS (
        SELECT FROM statement_lines AS known JOIN statement_files AS file ON file.id = known.file_id
        WHERE known.net_minor = line.net_minor AND {_IS_KNOWN} AND {_IS_ALIKE}))"""
_IS_NEW_DUPLICATE = _IS_DUPLICATE.format(
    is_first="(known.state <> 'new' OR known.file_id = line.file_id AND known.number < line.number)"
)
# Of a line that is in a case already: one that is posted, that will be (the payout of an open case), or that was
# imported before it, remains.
IS_STILL_DUPLICATE = _IS_DUPLICATE.format(
    is_first="""known.id <> line.id AND (known.state = 'matched' OR known.posted_at IS NOT NULL
        OR known.case_id IN (SELECT id FROM settlement_cases WHERE kind = 'payout_differs')
        OR (known.file_id, known.number) < (line.file_id, line.number))"""
)
DUPLICATE_CASES = f"""
CREATE TEMPORARY TABLE match_duplicates ON COMMIT DROP AS
SELECT line.id, line.net_minor, line.currency, uuidv7() AS case_id,
       coalesce(nullif(line.payout_no, ''), nullif(line.line_no, ''), nullif(line.channel_no, ''), line.reference)
           AS reference,
       line.kind
FROM statement_lines AS line
WHERE line.file_id = %(file_id)s AND line.state = 'new' AND line.kind IN {AS_REPORTED} AND {_IS_NEW_DUPLICATE};
INSERT INTO settlement_cases (id, channel, environment, channel_account_id, kind, reference, currency, expected_minor,
    reported_minor, reported_currency, detail, state, owner, reason, write_off_requested_by, resolution, resolved_by)
SELECT case_id, %(channel)s, %(environment)s, %(account_id)s, 'duplicate_line', reference, currency, 0, net_minor,
       currency, kind, 'open', '', '', '', '', ''
FROM match_duplicates;
UPDATE statement_lines AS line SET state = 'in_case', case_id = known.case_id
FROM match_duplicates AS known WHERE line.id = known.id;
DROP TABLE match_duplicates
"""
SETTLE_AS_REPORTED = f"""
UPDATE statement_lines SET state = 'matched'
WHERE file_id = %(file_id)s AND state = 'new' AND kind IN {AS_REPORTED}
"""
DROP = "DROP TABLE match_lines, match_expectations, match_pairs, match_groups"
END_FILE = "UPDATE statement_files SET state = 'matched' WHERE id = %(file_id)s"

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
    ("duplicates", DUPLICATE_CASES),
    ("payouts", PAYOUT_CASES),
    ("posted as reported", SETTLE_AS_REPORTED),
    ("", DROP),
)

# Open postings that cancel each other out, such as a refund that left suspense: no statement reports them.
NET_ZERO = f"""
UPDATE statement_expectations AS expected SET state = 'met', match_id = settled.match_id
FROM (
    SELECT entry_id, min(entry_id) OVER same AS match_id, sum(amount_minor) OVER same AS sum_minor
    FROM statement_expectations AS each
    WHERE state = 'open' AND reference <> '' AND {SCOPE.format("each")}
    WINDOW same AS (PARTITION BY kind, reference, currency)
) AS settled
WHERE settled.sum_minor = 0 AND expected.entry_id = settled.entry_id
"""
# Statements of the day and of a later day are there, and neither reports it.
IS_MISSING = f"""EXISTS (
    SELECT FROM statement_files AS of_day JOIN statement_files AS later
      ON later.channel = of_day.channel AND later.environment = of_day.environment
     AND later.channel_account_id IS NOT DISTINCT FROM of_day.channel_account_id AND later.format = of_day.format
     AND later.period_start >= of_day.period_end AND later.state NOT IN ('imported', 'voided')
    WHERE {SCOPE.format("of_day")} AND of_day.state NOT IN ('imported', 'voided') AND of_day.format <> 'wechat_funds'
      AND of_day.period_start <= expected.occurred_at AND of_day.period_end > expected.occurred_at)"""
OPEN_MISSING_CASES = f"""
WITH missing AS (
    SELECT expected.entry_id, expected.kind, expected.reference, expected.currency, expected.amount_minor,
           expected.channel_no, uuidv7() AS case_id
    FROM statement_expectations AS expected
    WHERE expected.state = 'open' AND {SCOPE.format("expected")} AND {IS_MISSING}
), opened AS (
    INSERT INTO settlement_cases (id, channel, environment, channel_account_id, kind, reference, currency,
        expected_minor, reported_minor, reported_currency, detail, state, owner, reason, write_off_requested_by,
        resolution, resolved_by)
    SELECT case_id, %(channel)s, %(environment)s, %(account_id)s, 'missing_line', reference, currency, amount_minor, 0,
           currency, concat_ws(', ', kind, nullif(channel_no, '')), 'open', '', '', '', '', ''
    FROM missing
)
UPDATE statement_expectations AS expected SET state = 'in_case', case_id = missing.case_id
FROM missing WHERE expected.entry_id = missing.entry_id
"""

# Expected and reported of one statement's day. Other statements of the same day add to the same row.
COMPARE_DAY = f"""
INSERT INTO settlement_days (channel, environment, channel_account_id, day, currency, expected_minor, reported_minor,
    difference_minor, fee_minor, payout_minor, line_count)
SELECT %(channel)s, %(environment)s, %(account_id)s, %(day)s, currency, sum(expected), sum(reported),
       sum(reported) - sum(expected), sum(fee), sum(payout), sum(lines)
FROM (
    SELECT currency, amount_minor AS expected, 0 AS reported, 0 AS fee, 0 AS payout, 0 AS lines
    FROM statement_expectations AS each
    WHERE {SCOPE.format("each")} AND occurred_at >= %(period_start)s AND occurred_at < %(period_end)s
    UNION ALL
    SELECT line.currency, 0, CASE WHEN line.kind IN {AS_REPORTED} THEN 0 ELSE line.gross_minor END, line.fee_minor,
           CASE WHEN line.kind = 'payout' THEN -line.gross_minor ELSE 0 END, 1
    FROM statement_lines AS line JOIN statement_files AS file ON file.id = line.file_id
    WHERE {SCOPE.format("file")} AND file.day = %(day)s AND file.state NOT IN ('imported', 'voided')
) AS each
GROUP BY currency
ON CONFLICT (channel, environment, channel_account_id, day, currency) DO UPDATE SET
    expected_minor = excluded.expected_minor, reported_minor = excluded.reported_minor,
    difference_minor = excluded.difference_minor, fee_minor = excluded.fee_minor,
    payout_minor = excluded.payout_minor, line_count = excluded.line_count
"""
