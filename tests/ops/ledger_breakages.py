"""Mutated postings, and the integrity check that names each."""

from tests.ops.breakage import Breakage

_TRANSFER = "(SELECT id FROM ledger_transfers WHERE source = %({0})s AND event = '{1}')"
CAPTURED = _TRANSFER.format("paid", "payment.captured")
SUCCEEDED = _TRANSFER.format("refund", "refund.succeeded")
FLIPPED = "CASE direction WHEN 'debit' THEN 'credit' ELSE 'debit' END"
DISPUTE = """
INSERT INTO disputes (id, dispute_no, payment_id, merchant_id, environment, channel, channel_dispute_no, amount_minor,
    currency, reason, channel_reason, status, stage, blocked_minor)
SELECT gen_random_uuid(), 'DSP-1', id, merchant_id, environment, channel, 'dp_1', 7, currency, 'fraudulent', '',
    'lost', 'chargeback', 0
FROM payments WHERE payment_no = %(paid)s
"""
SUSPENSE = """
INSERT INTO suspense_items (id, payment_id, channel, channel_refund_no, amount_minor, currency, status)
SELECT gen_random_uuid(), id, channel, 're_1', 7, 'EUR', 'open' FROM payments WHERE payment_no = %(paid)s
"""

BOOKED_CASE = f"""
WITH booked AS (
    INSERT INTO settlement_cases (id, channel, environment, kind, reference, currency, expected_minor, reported_minor,
        reported_currency, detail, state, owner, reason, write_off_requested_by, resolution, resolved_by, resolved_at)
    VALUES (gen_random_uuid(), 'simulator', 'test', 'missing_line', 'PAY-1', 'USD', 7, 0, 'USD', '{{}}', 'resolved', '',
        '', '', 'booked', 'ann', now())
    RETURNING id
)
INSERT INTO statement_expectations (entry_id, channel, environment, kind, currency, amount_minor, reference, channel_no,
    occurred_at, expected_by, state, case_id)
SELECT entry.id, 'simulator', 'test', 'payment', 'USD', amount_minor, '', '', now(), now() + interval '1 day',
    'in_case', booked.id
FROM ledger_entries AS entry, booked WHERE leg = 1 AND transfer_id = {CAPTURED}
"""

LEDGER_BREAKAGES = [
    Breakage(
        "ledger_balanced",
        "a leg is missing",
        f"DELETE FROM ledger_entries WHERE leg = 1 AND transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_balanced",
        "no leg is left",
        f"DELETE FROM ledger_entries WHERE transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_balanced",
        "a wrong sign",
        f"UPDATE ledger_entries SET direction = {FLIPPED} WHERE leg = 1 AND transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_balanced",
        "a cent more on one side",
        f"UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE leg = 2 AND transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_balanced",
        "a pair of legs that was added later",
        "INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)"
        " SELECT transfer_id, leg + 2, account_id, phase, direction, 1 FROM ledger_entries"
        f" WHERE transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_pending_settled",
        "another amount is released",
        "UPDATE ledger_entries SET amount_minor = amount_minor - 1"
        f" WHERE phase = 'pending' AND transfer_id = {SUCCEEDED}",
        "refund",
    ),
    Breakage(
        "ledger_pending_settled",
        "an open refund without a pending transfer",
        "UPDATE refunds SET status = 'processing' WHERE refund_no = %(refund)s",
        "refund",
    ),
    Breakage(
        "ledger_agrees_with_payments",
        "all signs are wrong",
        f"UPDATE ledger_entries SET direction = {FLIPPED} WHERE transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_agrees_with_payments",
        "a cent less on both sides",
        f"UPDATE ledger_entries SET amount_minor = amount_minor - 1 WHERE transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_agrees_with_payments",
        "posted twice",
        "INSERT INTO ledger_entries (transfer_id, leg, account_id, phase, direction, amount_minor)"
        " SELECT transfer_id, leg + 10, account_id, phase, direction, amount_minor FROM ledger_entries"
        f" WHERE transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_agrees_with_payments",
        "a payment that was not posted",
        f"DELETE FROM ledger_transfers WHERE id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_agrees_with_payments",
        "a refund that is still pending",
        f"DELETE FROM ledger_entries WHERE phase = 'pending' AND transfer_id = {SUCCEEDED}",
        "refunded",
    ),
    Breakage(
        "ledger_agrees_with_payments",
        "in another currency",
        "UPDATE ledger_accounts SET currency = 'EUR' WHERE id = (SELECT account_id FROM ledger_entries"
        f" WHERE phase = 'posted' AND direction = 'debit' AND transfer_id = {SUCCEEDED})",
        "refunded",
    ),
    Breakage("ledger_agrees_with_disputes", "a dispute that was not posted", DISPUTE, "SELECT 'DSP-1'"),
    Breakage("ledger_agrees_with_suspense", "an item that was not posted", SUSPENSE, "SELECT 're_1'"),
    Breakage(
        "ledger_balances_add_up",
        "taken out of the queue by halves",
        "WITH taken AS (DELETE FROM ledger_rollup_queue WHERE transfer_id = "
        + CAPTURED
        + " RETURNING transfer_id)"
        " INSERT INTO ledger_daily_balances (account_id, day, posted_debit_minor, posted_credit_minor,"
        " pending_debit_minor, pending_credit_minor, entry_count)"
        " SELECT account_id, (now() AT TIME ZONE 'UTC')::date, 10000, 0, 0, 0, 1 FROM ledger_entries"
        " JOIN taken USING (transfer_id) WHERE direction = 'debit'",
        "SELECT account_id::text FROM ledger_entries WHERE direction = 'credit' AND transfer_id = "
        + CAPTURED,
    ),
    Breakage(
        "ledger_balances_add_up",
        "a balance of nothing",
        "INSERT INTO ledger_daily_balances (account_id, day, posted_debit_minor, posted_credit_minor,"
        " pending_debit_minor, pending_credit_minor, entry_count)"
        " SELECT id, current_date, 1, 0, 0, 0, 1 FROM ledger_accounts WHERE kind = 'refunds'",
        "SELECT id::text FROM ledger_accounts WHERE kind = 'refunds'",
    ),
    Breakage(
        "ledger_accounts_agree",
        "another account",
        "UPDATE ledger_entries SET account_id = (SELECT id FROM ledger_accounts WHERE kind = 'refunds')"
        f" WHERE direction = 'credit' AND transfer_id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "ledger_days_agree",
        "another day",
        f"UPDATE ledger_transfers SET day = day - 2 WHERE id = {CAPTURED}",
        "paid",
    ),
    Breakage(
        "cases_agree_with_ledger",
        "a case that was booked without a correction",
        BOOKED_CASE,
        "SELECT 'missing_line PAY-1'",
    ),
]
