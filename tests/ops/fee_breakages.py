"""Fees and statements that the integrity checks must name, on a platform without fee plans. tests/fees/test_checks.py
has mutated fees of a plan."""

from tests.ops.breakage import Breakage

STATEMENT = "00000000-0000-4000-8000-000000000016"

FEE_BREAKAGES = [
    Breakage(
        "fees_agree_with_plans",
        "a fee by a plan that does not exist",
        """UPDATE ledger_transfers SET fee_basis = '{"plan_version": "none", "rate": null, "fee_minor": 0}'"""
        " WHERE source = %(paid)s AND event = 'payment.captured'",
        "paid",
    ),
    Breakage(
        "fees_returned_by_rule",
        "a fee that was never charged is given back",
        "UPDATE ledger_accounts SET kind = 'platform_fees' WHERE kind = 'refunds'",
        "refunded",
    ),
    Breakage(
        "merchant_statements_add_up",
        "a statement of nothing",
        "INSERT INTO merchant_statements (id, merchant_id, environment, currency, period, first_day, last_day,"
        " opening_minor, payments_minor, refunds_minor, disputes_minor, fees_minor, other_minor, closing_minor,"
        " transaction_count, csv_digest, close_digest)"
        f" VALUES ('{STATEMENT}', %(merchant_id)s, 'test', 'USD', 'day', '2026-01-01', '2026-01-01',"
        " 0, 7, 0, 0, 0, 0, 7, 1, '', '')",
        f"SELECT '{STATEMENT}'",
    ),
]
