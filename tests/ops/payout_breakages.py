"""A payout that is wrong, and the integrity check that names it."""

from tests.ops.breakage import Breakage

# 100 of the payment's amount, on their way to the bank with all that belongs to them.
_PAYOUT = """
WITH account AS (
    INSERT INTO payout_bank_accounts (id, merchant_id, environment, currency, kind, sealed_details, hint, status,
        requested_by, decided_by, usable_from)
    SELECT gen_random_uuid(), merchant_id, environment, currency, 'iban', '', 'x', 'active', 'ana', 'ben', now()
    FROM payments WHERE payment_no = %(paid)s
    RETURNING id, merchant_id
), run AS (
    INSERT INTO payout_runs (id, run_no, environment, currency, status, requested_by, decided_by, failure_code,
        failure_message)
    VALUES (gen_random_uuid(), 'RUN-1', 'test', 'USD', '{run_status}', 'ana', 'ben', '', '')
    RETURNING id
)
INSERT INTO payouts (id, payout_no, run_id, merchant_id, environment, currency, amount_minor, payable_minor,
    bank_account_id, status, failure_code, failure_message, return_fee_minor, bank_reference, sent_at)
SELECT gen_random_uuid(), 'PO-1', run.id, account.merchant_id, 'test', 'USD', {amount}, {amount}, account.id,
    '{status}', '', '', 0, '', {sent_at}
FROM account CROSS JOIN run
"""


def _payout(
    *, status: str = "pending", run_status: str = "approved", amount: int = 100, sent_at: str = "NULL"
) -> str:
    return _PAYOUT.format(status=status, run_status=run_status, amount=amount, sent_at=sent_at)


PAYOUT_BREAKAGES = [
    Breakage("payouts_agree_with_ledger", "a payout that is not in the ledger", _payout(), "SELECT 'PO-1'"),
    Breakage(
        "payouts_agree_with_ledger",
        "a transfer without a payout",
        "UPDATE ledger_transfers SET event = 'payout.posted' WHERE source = %(paid)s",
        "paid",
    ),
    Breakage(
        "payouts_within_payable",
        "more than was earned",
        _payout(amount=10_000_000),
        "SELECT 'PO-1'",
    ),
    Breakage(
        "payouts_sent_once",
        "sent without a file",
        _payout(status="in_transit", run_status="sent", sent_at="now()"),
        "SELECT 'PO-1'",
    ),
    Breakage(
        "payouts_sent_once",
        "left behind by its run",
        _payout(run_status="sent"),
        "SELECT 'PO-1'",
    ),
]
