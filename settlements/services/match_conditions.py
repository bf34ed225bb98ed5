"""Conditions in the SQL of matching and voiding statements."""

# ruff: noqa: S608 - the SQL is put together from constants of this module

# Kinds of lines that are posted as reported, without an expectation.
AS_REPORTED = "('fee', 'payout', 'rounding')"


def of_account(alias: str) -> str:
    """SQL: the row `alias` belongs to the channel account of the statement."""
    return f"""{alias}.channel = %(channel)s AND {alias}.environment = %(environment)s
    AND {alias}.channel_account_id IS NOT DISTINCT FROM %(account_id)s"""


# The ids of the account's cases that no person has decided.
UNDECIDED_CASES = (
    "SELECT id FROM settlement_cases AS own WHERE own.state IN ('open', 'asked') AND " + of_account("own")
)
