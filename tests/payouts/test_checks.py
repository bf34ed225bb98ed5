"""The settings of the platform's bank account are checked when a process starts."""

from typing import Any

import pytest

from payouts.checks import check_debtor


@pytest.mark.parametrize(
    ("iban", "bic", "name", "found"),
    [
        ("", "", "", []),
        ("DE75512108001245126199", "SOLADEST600", "Platform", []),
        ("DE75512108001245126198", "SOLADEST600", "Platform", ["payouts.E002"]),  # a wrong digit
        ("DE75 5121 0800 1245 1261 99", "", "Platform", ["payouts.E002"]),  # the bank's file has no spaces
        ("DE75512108001245126199", "NONSENSE", "Platform", ["payouts.E002"]),
        ("DE75512108001245126199", "", "", ["payouts.E003"]),
    ],
)
def test_a_wrong_account_of_the_platform_is_found(
    settings: Any, iban: str, bic: str, name: str, found: list[str]
) -> None:
    settings.PAYOUT_DEBTOR_IBAN, settings.PAYOUT_DEBTOR_BIC, settings.PAYOUT_DEBTOR_NAME = iban, bic, name
    assert [each.id for each in check_debtor()] == found
