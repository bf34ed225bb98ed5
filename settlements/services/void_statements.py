"""The SQL of voiding a statement. Like matching, each statement works on whole sets.

The file is marked first: the triggers let its lines go only then, and what counts as missing no longer reads it.
"""

# ruff: noqa: S608 - the SQL is put together from constants

from settlements.services.match_as_reported import IS_STILL_DUPLICATE
from settlements.services.match_days import IS_MISSING
from settlements.services.sql_parts import AS_REPORTED, insert_cases, of_account

MARK_FILE = """
UPDATE statement_files SET state = 'voided', voided_at = now() WHERE id = %(file_id)s AND state <> 'voided'
"""
# The matches of the statement, the cases that its lines are in, and the cases that were opened because a movement is
# missing in it.
FIND = f"""
CREATE TEMPORARY TABLE void_matches ON COMMIT DROP AS
SELECT DISTINCT match_id FROM statement_lines WHERE file_id = %(file_id)s AND match_id IS NOT NULL;
CREATE TEMPORARY TABLE void_cases ON COMMIT DROP AS
SELECT own.id, own.state FROM settlement_cases AS own
WHERE own.id IN (SELECT case_id FROM statement_lines WHERE file_id = %(file_id)s)
   OR own.kind = 'missing_line' AND own.state IN ('open', 'asked') AND {of_account("own")} AND NOT EXISTS (
       SELECT FROM statement_expectations AS expected WHERE expected.case_id = own.id AND {IS_MISSING});
CREATE TEMPORARY TABLE void_references ON COMMIT DROP AS
SELECT DISTINCT reference FROM statement_expectations
WHERE match_id IN (SELECT match_id FROM void_matches) OR case_id IN (SELECT id FROM void_cases)
"""
MARK_DECIDED_CASES = """
UPDATE settlement_cases SET reversed_at = now()
WHERE id IN (SELECT id FROM void_cases WHERE state = 'resolved') AND reversed_at IS NULL
"""
FREE_LINES = """
UPDATE statement_lines SET state = 'voided', match_id = NULL, case_id = NULL WHERE file_id = %(file_id)s
"""
FREE_EXPECTATIONS = """
UPDATE statement_expectations SET state = 'open', match_id = NULL, case_id = NULL
WHERE match_id IN (SELECT match_id FROM void_matches) OR case_id IN (SELECT id FROM void_cases)
"""
_INSERT_LOOSE_CASES = insert_cases(
    source="loose",
    kind="'unknown_line'",
    reference="reference",
    expected_minor="0",
    reported_minor="gross_minor",
    detail="jsonb_build_object('line_kind', kind)",
)
# Lines of other statements that had met an expectation, or were in a case, together with lines of this one.
ISOLATE_OTHER_LINES = f"""
WITH loose AS (
    SELECT line.id, line.kind, line.currency, line.gross_minor, uuidv7() AS case_id,
           coalesce(nullif(line.reference, ''), nullif(line.channel_no, ''), line.id::text) AS reference
    FROM statement_lines AS line
    WHERE line.kind NOT IN {AS_REPORTED}
      AND (line.match_id IN (SELECT match_id FROM void_matches) OR line.case_id IN (SELECT id FROM void_cases))
), opened AS (
    {_INSERT_LOOSE_CASES}
)
UPDATE statement_lines AS line SET state = 'in_case', match_id = NULL, case_id = loose.case_id
FROM loose WHERE line.id = loose.id
"""
CLOSE_CASES = """
UPDATE settlement_cases SET state = 'resolved', resolution = 'voided', resolved_by = %(actor)s, resolved_at = now()
WHERE id IN (SELECT id FROM void_cases WHERE state <> 'resolved')
"""
# Whether a line of the case is no duplicate any more, because a line of this statement reported the same.
_HAS_FREE_LINE = f"""EXISTS (
    SELECT FROM statement_lines AS line WHERE line.case_id = own.id AND (
        line.kind IN {AS_REPORTED} AND NOT {IS_STILL_DUPLICATE}
        OR line.kind NOT IN {AS_REPORTED}
        AND own.reference IN (SELECT left(reference, 255) FROM void_references)))"""
# Cases that were dismissed because a line of this statement reported the same: the reason is gone. The old case keeps
# the decision, and a new case is treated like a duplicate that was not decided.
REOPEN_DISMISSED = f"""
CREATE TEMPORARY TABLE void_dismissed ON COMMIT DROP AS
SELECT own.id AS old_case_id, uuidv7() AS case_id
FROM settlement_cases AS own
WHERE own.kind = 'duplicate_line' AND own.resolution = 'dismissed' AND own.reversed_at IS NULL
  AND {of_account("own")} AND {_HAS_FREE_LINE};
UPDATE settlement_cases SET reversed_at = now() WHERE id IN (SELECT old_case_id FROM void_dismissed);
INSERT INTO settlement_cases (id, channel, environment, channel_account_id, kind, reference, currency, expected_minor,
    reported_minor, reported_currency, detail, state, owner, reason, write_off_requested_by, resolution, resolved_by)
SELECT known.case_id, own.channel, own.environment, own.channel_account_id, own.kind, own.reference, own.currency,
       own.expected_minor, own.reported_minor, own.reported_currency, own.detail, 'open', own.owner, '', '', '', ''
FROM void_dismissed AS known JOIN settlement_cases AS own ON own.id = known.old_case_id;
UPDATE statement_lines AS line SET case_id = known.case_id
FROM void_dismissed AS known WHERE line.case_id = known.old_case_id
"""
# A write-off that is not approved yet lapses: its line is the only report of the movement now.
WITHDRAW_WRITE_OFFS = f"""
UPDATE settlement_cases AS own SET write_off_requested_by = '', detail = own.detail || jsonb_build_object(
    'withdrawn_write_offs',
    coalesce(own.detail->'withdrawn_write_offs', '[]') || to_jsonb(own.write_off_requested_by))
WHERE own.kind = 'duplicate_line' AND own.state IN ('open', 'asked') AND own.write_off_requested_by <> ''
  AND {of_account("own")} AND {_HAS_FREE_LINE}
"""
# A movement that was in two statements is in one now.
REOPEN_DUPLICATES = f"""
UPDATE settlement_cases AS own SET kind = 'unknown_line'
WHERE own.kind = 'duplicate_line' AND own.state IN ('open', 'asked') AND own.write_off_requested_by = ''
  AND {of_account("own")} AND own.reference IN (SELECT left(reference, 255) FROM void_references)
  AND NOT EXISTS (SELECT FROM statement_lines WHERE case_id = own.id AND kind IN {AS_REPORTED})
"""
SETTLE_DUPLICATES = f"""
CREATE TEMPORARY TABLE void_singles ON COMMIT DROP AS
SELECT line.id, line.case_id
FROM settlement_cases AS own JOIN statement_lines AS line ON line.case_id = own.id
WHERE own.kind = 'duplicate_line' AND own.state IN ('open', 'asked') AND own.write_off_requested_by = ''
  AND {of_account("own")} AND line.kind IN {AS_REPORTED} AND NOT {IS_STILL_DUPLICATE};
UPDATE statement_lines AS line SET state = 'matched', case_id = NULL FROM void_singles WHERE line.id = void_singles.id;
UPDATE settlement_cases SET state = 'resolved', resolution = 'voided', resolved_by = %(actor)s, resolved_at = now()
WHERE id IN (SELECT case_id FROM void_singles)
"""
# After the comparison: cases of unknown lines whose money another line has met.
RESTORE_DUPLICATES = f"""
UPDATE settlement_cases AS own SET kind = 'duplicate_line'
WHERE own.kind = 'unknown_line' AND own.state IN ('open', 'asked') AND own.write_off_requested_by = ''
  AND {of_account("own")} AND EXISTS (
      SELECT FROM statement_lines AS line JOIN statement_expectations AS named ON named.kind = line.kind
      WHERE line.case_id = own.id AND named.reference = own.reference AND {of_account("named")})
"""
# An account is compared from its first statement on, which may have been this one.
FORGET_EARLIER_EXPECTATIONS = f"""
DELETE FROM statement_expectations AS expected
WHERE expected.state = 'open' AND {of_account("expected")} AND NOT EXISTS (
    SELECT FROM statement_files AS file
    WHERE {of_account("file")} AND file.state <> 'voided' AND file.period_start <= expected.occurred_at)
"""
CLEAR_DAY = f"""
DELETE FROM settlement_days AS compared WHERE compared.day = %(day)s AND {of_account("compared")}
"""
HAS_OTHER_STATEMENT = f"""
SELECT EXISTS (SELECT FROM statement_files AS file
               WHERE file.day = %(day)s AND file.state NOT IN ('imported', 'voided') AND {of_account("file")})
"""
DECIDED_CASES = "SELECT id FROM void_cases WHERE state = 'resolved'"
DROP = "DROP TABLE void_matches, void_cases, void_references, void_dismissed, void_singles"

FREE = (
    FIND,
    MARK_DECIDED_CASES,
    FREE_LINES,
    FREE_EXPECTATIONS,
    ISOLATE_OTHER_LINES,
    CLOSE_CASES,
    REOPEN_DISMISSED,
    WITHDRAW_WRITE_OFFS,
    REOPEN_DUPLICATES,
    SETTLE_DUPLICATES,
    FORGET_EARLIER_EXPECTATIONS,
)
