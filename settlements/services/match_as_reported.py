"""The SQL for lines that are posted as reported: fees, payouts and roundings. No expectation is compared with them.

A line that was reported before opens a case as a duplicate. A payout that differs from the lines that it pays opens a
case too. All others are matched.
"""

# ruff: noqa: S608 - the SQL is put together from constants

from settlements.services.sql_parts import AS_REPORTED, insert_cases, of_account


def _is_duplicate(*, is_first: str) -> str:
    """SQL: another line `known` of the account, for which `is_first` holds, has reported the movement of `line`. So a
    day that was fetched may be imported as CSV too.

    The same movement has the same number. A CSV without the channel's number of the movement has the same amount, and
    another number of it or the same time.
    """
    is_alike = """(line.channel_no <> '' AND line.channel_no IN (known.channel_no, known.line_no)
        OR known.channel_no <> '' AND known.channel_no = line.line_no
        OR known.file_id <> line.file_id AND known.occurred_at = line.occurred_at)"""

    def is_known(has_same: str) -> str:
        return f"""EXISTS (
        SELECT FROM statement_lines AS known JOIN statement_files AS file ON file.id = known.file_id
        WHERE {has_same}
          AND known.kind = line.kind AND known.kind IN {AS_REPORTED} AND known.currency = line.currency
          AND sign(known.net_minor) = sign(line.net_minor) AND {of_account("file")} AND known.state <> 'voided'
          AND {is_first})"""

    has_same_amount = f"known.net_minor = line.net_minor AND {is_alike}"
    return f"""(
    line.line_no <> '' AND {is_known("known.line_no = line.line_no")}
    OR line.kind = 'payout' AND line.payout_no <> '' AND {is_known("known.payout_no = line.payout_no")}
    OR line.line_no <> '' AND {is_known(f"known.line_no = '' AND {has_same_amount}")}
    OR line.line_no = '' AND {is_known(has_same_amount)})"""


_IS_NEW_DUPLICATE = _is_duplicate(
    is_first="(known.state <> 'new' OR known.file_id = line.file_id AND known.number < line.number)"
)
# A line that is in a case stays a duplicate as long as another line of the movement is posted, will be posted (the
# payout of an open case), or was imported before it.
IS_STILL_DUPLICATE = _is_duplicate(
    is_first="""known.id <> line.id AND (known.state = 'matched' OR known.posted_at IS NOT NULL
        OR known.case_id IN (SELECT id FROM settlement_cases WHERE kind = 'payout_differs')
        OR (known.file_id, known.number) < (line.file_id, line.number))"""
)

_INSERT_DUPLICATE_CASES = insert_cases(
    source="match_duplicates",
    kind="'duplicate_line'",
    reference="reference",
    expected_minor="0",
    reported_minor="net_minor",
    detail="jsonb_build_object('line_kind', kind)",
)
DUPLICATE_CASES = f"""
CREATE TEMPORARY TABLE match_duplicates ON COMMIT DROP AS
SELECT line.id, line.net_minor, line.currency, uuidv7() AS case_id,
       coalesce(nullif(line.payout_no, ''), nullif(line.line_no, ''), nullif(line.channel_no, ''), line.reference)
           AS reference,
       line.kind
FROM statement_lines AS line
WHERE line.file_id = %(file_id)s AND line.state = 'new' AND line.kind IN {AS_REPORTED} AND {_IS_NEW_DUPLICATE};
{_INSERT_DUPLICATE_CASES};
UPDATE statement_lines AS line SET state = 'in_case', case_id = known.case_id
FROM match_duplicates AS known WHERE line.id = known.id;
DROP TABLE match_duplicates
"""
_INSERT_PAYOUT_CASES = insert_cases(
    source="differing",
    kind="'payout_differs'",
    reference="payout_no",
    expected_minor="-paid_minor",
    reported_minor="net_minor",
    detail="jsonb_build_object('line_kind', 'payout')",
)
# A payout is compared with the lines that it pays, where the channel says which.
PAYOUT_CASES = f"""
WITH payout AS (
    SELECT line.id, line.payout_no, line.net_minor, line.currency, uuidv7() AS case_id,
           (SELECT sum(paid.net_minor)
            FROM statement_lines AS paid JOIN statement_files AS file ON file.id = paid.file_id
            WHERE paid.payout_no = line.payout_no AND paid.kind <> 'payout' AND paid.state <> 'voided'
              AND {of_account("file")}) AS paid_minor
    FROM statement_lines AS line
    WHERE line.file_id = %(file_id)s AND line.state = 'new' AND line.kind = 'payout' AND line.payout_no <> ''
      AND line.net_minor < 0
), differing AS (
    SELECT * FROM payout WHERE paid_minor + net_minor <> 0
), opened AS (
    {_INSERT_PAYOUT_CASES}
)
UPDATE statement_lines AS line SET state = 'in_case', case_id = differing.case_id
FROM differing WHERE line.id = differing.id
"""
SETTLE_AS_REPORTED = f"""
UPDATE statement_lines SET state = 'matched'
WHERE file_id = %(file_id)s AND state = 'new' AND kind IN {AS_REPORTED}
"""

# In their order, each with the label under which its progress is shown.
STEPS = (
    ("duplicates", DUPLICATE_CASES),
    ("payouts", PAYOUT_CASES),
    ("posted as reported", SETTLE_AS_REPORTED),
)
