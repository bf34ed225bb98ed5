"""Parts of the SQL that matches and voids statements."""

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


def insert_cases(
    *,
    source: str,
    kind: str,
    reference: str,
    expected_minor: str,
    reported_minor: str,
    detail: str,
    currency: str = "currency",
    reported_currency: str = "currency",
) -> str:
    """SQL: opens a case for each row of `source`, which has its `case_id`. The others are SQL expressions."""
    return f"""INSERT INTO settlement_cases (id, channel, environment, channel_account_id, kind, reference, currency,
        expected_minor, reported_minor, reported_currency, detail, state, owner, reason, write_off_requested_by,
        resolution, resolved_by)
    SELECT case_id, %(channel)s, %(environment)s, %(account_id)s, {kind}, {reference}, {currency}, {expected_minor},
           {reported_minor}, {reported_currency}, {detail}, 'open', '', '', '', '', ''
    FROM {source}"""
