"""What the passing of time does at the bank."""

from channels.alipay.sandbox import refunds, trades
from channels.alipay.sandbox.books import Bank


def run(bank: Bank) -> None:
    """Closes unpaid trades whose time is over, finishes old ones, decides pending refunds. In its own transaction, so
    that a refused call does not undo it."""
    with bank.open_books() as books:
        trades.close_overdue(books)
        refunds.decide_pending(books)
