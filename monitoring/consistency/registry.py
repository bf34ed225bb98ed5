"""Every invariant that is checked. Adding one is adding its file and a line here."""

from monitoring.consistency import (
    charge_has_payment,
    duplicate_order_numbers,
    merchant_keys,
    open_payments_watched,
    order_follows_payment,
    order_items,
    outbox_drained,
    payment_has_charge,
    payment_has_saga,
    refund_totals,
    refunds_in_books,
    saga_matches_payment,
    stuck_sagas,
    terminal_steps,
)
from monitoring.consistency.check import Check

CHECKS: tuple[Check, ...] = (
    duplicate_order_numbers.CHECK,
    order_items.CHECK,
    merchant_keys.CHECK,
    refund_totals.CHECK,
    order_follows_payment.CHECK,
    payment_has_saga.CHECK,
    saga_matches_payment.CHECK,
    terminal_steps.CHECK,
    stuck_sagas.CHECK,
    open_payments_watched.CHECK,
    outbox_drained.CHECK,
    charge_has_payment.CHECK,
    payment_has_charge.CHECK,
    refunds_in_books.CHECK,
)


class UnknownCheck(Exception):
    """There is no check of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no check '{name}'. There are: {', '.join(names())}.")


def names() -> list[str]:
    return [check.name for check in CHECKS]


def meaning_of(name: str) -> str:
    """Empty for a check that there is no more."""
    return next((str(check.means) for check in CHECKS if check.name == name), "")


def find(name: str) -> Check:
    """Raises `UnknownCheck`."""
    for check in CHECKS:
        if check.name == name:
            return check
    raise UnknownCheck(name)
