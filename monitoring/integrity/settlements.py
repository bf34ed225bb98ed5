"""Checks of settlement statements: by themselves, against the ledger, and against the channel's payouts."""

# ruff: noqa: S608 - the SQL is put together from constants of this package

from django.utils.translation import gettext_lazy as _

from monitoring.integrity.check import IntegrityCheck

STATEMENT_LINES_SETTLED = IntegrityCheck(
    "statement_lines_settled",
    _("Each line of a matched statement is matched or in one case, and each match agrees to the cent."),
    """
    SELECT f.channel || ' ' || f.day || ' line ' || l.number AS id,
           l.state || ' in a statement that is ' || f.state AS detail
    FROM statement_files f JOIN statement_lines l ON l.file_id = f.id
    WHERE f.imported_at >= %(since)s
      AND (f.state IN ('matched', 'posted') AND l.state = 'new' OR (f.state = 'voided') <> (l.state = 'voided'))
    UNION ALL
    SELECT 'match ' || e.match_id, 'reported ' || coalesce(l.reported, 0) || ', expected ' || e.expected
    FROM (
        SELECT match_id, sum(amount_minor) AS expected, min(currency) AS currency,
               count(DISTINCT currency) AS currencies
        FROM statement_expectations WHERE match_id IS NOT NULL AND occurred_at >= %(since)s GROUP BY match_id
    ) e
    LEFT JOIN LATERAL (
        SELECT sum(gross_minor) AS reported, bool_and(currency = e.currency) AS is_same
        FROM statement_lines WHERE match_id = e.match_id) l ON true
    WHERE e.expected <> coalesce(l.reported, 0) OR e.currencies <> 1 OR NOT coalesce(l.is_same, true)
    """,
)

STATEMENTS_ADD_UP = IntegrityCheck(
    "statements_add_up",
    _("The lines of each statement add up to the totals that the statement states."),
    """
    SELECT f.channel || ' ' || f.day AS id,
           total.currency || ' ' || l.lines || ' lines, ' || l.gross || ' gross, ' || l.fee || ' fee' AS detail
    FROM statement_files f CROSS JOIN LATERAL jsonb_each(f.totals) AS total(currency, stated)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE kind <> 'rounding') AS lines, coalesce(sum(gross_minor), 0) AS gross,
               coalesce(sum(fee_minor), 0) AS fee
        FROM statement_lines WHERE file_id = f.id AND currency = total.currency) l
    WHERE f.imported_at >= %(since)s AND (l.lines, l.gross, l.fee) IS DISTINCT FROM
        ((total.stated->>'count')::bigint, (total.stated->>'gross')::numeric, (total.stated->>'fee')::numeric)
    """,
)

# Of a line `l` of the file `f` that was dismissed: another line reports the same movement, or its money was met.
_IS_REPORTED_BY_ANOTHER = """(
    EXISTS (
        SELECT FROM statement_lines k JOIN statement_files kf ON kf.id = k.file_id
        LEFT JOIN settlement_cases kc ON kc.id = k.case_id
        WHERE k.kind IN ('fee', 'payout', 'rounding') AND k.kind = l.kind AND k.id <> l.id AND k.currency = l.currency
          AND k.state <> 'voided' AND kc.resolution IS DISTINCT FROM 'dismissed'
          AND kf.channel = f.channel AND kf.environment = f.environment
          AND kf.channel_account_id IS NOT DISTINCT FROM f.channel_account_id
          AND (k.line_no <> '' AND k.line_no = l.line_no OR k.payout_no <> '' AND k.payout_no = l.payout_no
              OR k.net_minor = l.net_minor AND (k.occurred_at = l.occurred_at
                  OR l.channel_no <> '' AND l.channel_no IN (k.channel_no, k.line_no)
                  OR k.channel_no <> '' AND k.channel_no = l.line_no)))
    OR EXISTS (
        SELECT FROM statement_expectations e LEFT JOIN settlement_cases ec ON ec.id = e.case_id
        WHERE e.kind = l.kind AND e.channel = f.channel AND e.environment = f.environment
          AND e.channel_account_id IS NOT DISTINCT FROM f.channel_account_id
          AND (e.reference <> '' AND e.reference IN (l.reference, l.channel_no)
              OR e.channel_no <> '' AND e.channel_no = l.channel_no)
          AND (e.state = 'met' OR ec.kind <> 'missing_line' OR ec.state = 'resolved')))"""

# What is expected is the ledger's entry; what a line moves beyond it is posted once, with the line's amounts; nothing
# is posted at a merchant's own account. A line that a later statement has matched is posted with that statement. Of
# a line that was dismissed, another one is posted.
STATEMENTS_AGREE_WITH_LEDGER = IntegrityCheck(
    "statements_agree_with_ledger",
    _(
        "Each expectation is an entry of the ledger, and the ledger has the fee and the payout of each settled line."
    ),
    f"""
    SELECT e.kind || ' ' || e.reference AS id,
           'expected ' || e.amount_minor || ', in the ledger ' || t.amount_minor AS detail
    FROM statement_expectations e JOIN ledger_entries t ON t.id = e.entry_id
    WHERE e.occurred_at >= %(since)s
      AND e.amount_minor <> CASE t.direction WHEN 'debit' THEN t.amount_minor ELSE -t.amount_minor END
    UNION ALL
    SELECT f.channel || ' ' || f.day || ' line ' || l.number,
           'fee ' || l.fee_minor || ', payout ' || CASE l.kind WHEN 'payout' THEN -l.gross_minor ELSE 0 END
           || ', to post ' || o.due || ', in the ledger ' || p.moved
    FROM statement_files f JOIN statement_lines l ON l.file_id = f.id
    LEFT JOIN settlement_cases c ON c.id = l.case_id
    LEFT JOIN channel_accounts held ON held.id = f.channel_account_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN held.merchant_id IS NOT NULL OR l.state = 'voided' THEN 0
                    WHEN c.resolution = 'dismissed' AND {_IS_REPORTED_BY_ANOTHER} THEN 0
                    ELSE l.fee_minor + CASE l.kind WHEN 'payout' THEN -l.gross_minor ELSE 0 END END AS due) o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE n.direction WHEN 'credit' THEN n.amount_minor ELSE -n.amount_minor END), 0) AS moved
        FROM ledger_transfers t JOIN ledger_entries n ON n.transfer_id = t.id
        JOIN ledger_accounts a ON a.id = n.account_id AND a.kind = 'channel_receivable'
        WHERE t.subject_id = l.id) p
    WHERE f.imported_at >= %(since)s AND (l.fee_minor <> 0 OR l.kind = 'payout' OR l.posted_at IS NOT NULL)
      AND (l.state = 'matched' AND f.state = 'posted' OR c.state = 'resolved' OR p.moved <> 0)
      AND p.moved <> o.due
      AND (l.posted_at IS NOT NULL OR p.moved <> 0 OR NOT EXISTS (
          SELECT FROM statement_files waiting
          WHERE waiting.state = 'matched' AND waiting.channel = f.channel AND waiting.environment = f.environment
            AND waiting.channel_account_id IS NOT DISTINCT FROM f.channel_account_id))
    """,
)

STATEMENTS_AGREE_WITH_PAYOUTS = IntegrityCheck(
    "statements_agree_with_payouts",
    _("Each payout that is in no case is the sum of the lines that it pays, where the channel says which."),
    """
    SELECT p.payout_no AS id, 'paid out ' || -p.net_minor || ', its lines are ' || l.net AS detail
    FROM statement_lines p JOIN statement_files f ON f.id = p.file_id
    CROSS JOIN LATERAL (
        SELECT sum(paid.net_minor) AS net
        FROM statement_lines paid JOIN statement_files of_paid ON of_paid.id = paid.file_id
        WHERE paid.payout_no = p.payout_no AND paid.kind <> 'payout' AND paid.state <> 'voided'
          AND of_paid.channel = f.channel
          AND of_paid.environment = f.environment
          AND of_paid.channel_account_id IS NOT DISTINCT FROM f.channel_account_id) l
    WHERE f.imported_at >= %(since)s AND p.kind = 'payout' AND p.payout_no <> '' AND p.net_minor < 0
      AND p.state = 'matched' AND l.net + p.net_minor <> 0
    """,
)

CHECKS = (
    STATEMENT_LINES_SETTLED,
    STATEMENTS_ADD_UP,
    STATEMENTS_AGREE_WITH_LEDGER,
    STATEMENTS_AGREE_WITH_PAYOUTS,
)
