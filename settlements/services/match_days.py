"""The SQL after the lines of a statement are settled: expectations that no statement reports, and the sums of a day."""

# ruff: noqa: S608 - the SQL is put together from constants

from settlements.services.sql_parts import AS_REPORTED, insert_cases, of_account

END_FILE = "UPDATE statement_files SET state = 'matched' WHERE id = %(file_id)s"
# Open postings that cancel each other out, such as a refund that left suspense: no statement reports them.
NET_ZERO = f"""
UPDATE statement_expectations AS expected SET state = 'met', match_id = settled.match_id
FROM (
    SELECT entry_id, min(entry_id) OVER same AS match_id, sum(amount_minor) OVER same AS sum_minor
    FROM statement_expectations AS each
    WHERE state = 'open' AND reference <> '' AND {of_account("each")}
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
    WHERE {of_account("of_day")} AND of_day.state NOT IN ('imported', 'voided') AND of_day.format <> 'wechat_funds'
      AND of_day.period_start <= expected.occurred_at AND of_day.period_end > expected.occurred_at)"""
_INSERT_MISSING_CASES = insert_cases(
    source="missing",
    kind="'missing_line'",
    reference="reference",
    expected_minor="amount_minor",
    reported_minor="0",
    detail="jsonb_build_object('line_kind', kind, 'channel_no', channel_no)",
)
OPEN_MISSING_CASES = f"""
WITH missing AS (
    SELECT expected.entry_id, expected.kind, expected.reference, expected.currency, expected.amount_minor,
           expected.channel_no, uuidv7() AS case_id
    FROM statement_expectations AS expected
    WHERE expected.state = 'open' AND {of_account("expected")} AND {IS_MISSING}
), opened AS (
    {_INSERT_MISSING_CASES}
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
    WHERE {of_account("each")} AND occurred_at >= %(period_start)s AND occurred_at < %(period_end)s
    UNION ALL
    SELECT line.currency, 0, CASE WHEN line.kind IN {AS_REPORTED} THEN 0 ELSE line.gross_minor END, line.fee_minor,
           CASE WHEN line.kind = 'payout' THEN -line.gross_minor ELSE 0 END, 1
    FROM statement_lines AS line JOIN statement_files AS file ON file.id = line.file_id
    WHERE {of_account("file")} AND file.day = %(day)s AND file.state NOT IN ('imported', 'voided')
) AS each
GROUP BY currency
ON CONFLICT (channel, environment, channel_account_id, day, currency) DO UPDATE SET
    expected_minor = excluded.expected_minor, reported_minor = excluded.reported_minor,
    difference_minor = excluded.difference_minor, fee_minor = excluded.fee_minor,
    payout_minor = excluded.payout_minor, line_count = excluded.line_count
"""
