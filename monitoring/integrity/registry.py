"""All integrity checks, in the order in which they run. docs/guides/add-an-integrity-check.md says how to add one."""

from monitoring.integrity import (
    approvals,
    double_entry,
    events,
    fees,
    ledger,
    ledger_accounts,
    merchants,
    orders,
    payments,
    payouts,
    refunds,
    saga_history,
    saga_state,
    sandboxes,
    settlements,
)
from monitoring.integrity.check import IntegrityCheck

CHECKS: tuple[IntegrityCheck, ...] = (
    *orders.CHECKS,
    *merchants.CHECKS,
    *payments.CHECKS,
    *approvals.CHECKS,
    *refunds.CHECKS,
    *saga_state.CHECKS,
    *saga_history.CHECKS,
    *events.CHECKS,
    *ledger.CHECKS,
    *double_entry.CHECKS,
    *ledger_accounts.CHECKS,
    *settlements.CHECKS,
    *payouts.CHECKS,
    *fees.CHECKS,
    *sandboxes.CHECKS,
)


class UnknownCheck(Exception):
    """There is no check of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no check '{name}'. Choose from: {', '.join(list_check_names())}.")


def list_check_names() -> list[str]:
    return [check.name for check in CHECKS]


def get_check_meaning(name: str) -> str:
    """Returns the text of a check's rule. Empty for a stored result whose check no longer exists."""
    return next((str(check.meaning) for check in CHECKS if check.name == name), "")


def find_check(name: str) -> IntegrityCheck:
    """Raises `UnknownCheck`."""
    for check in CHECKS:
        if check.name == name:
            return check
    raise UnknownCheck(name)
