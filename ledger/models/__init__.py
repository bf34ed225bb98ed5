from ledger.models.balances import DailyBalance, DailyClose, RollupQueueItem
from ledger.models.transfers import (
    BALANCE_KINDS,
    Direction,
    LedgerAccount,
    LedgerEntry,
    LedgerTransfer,
    Phase,
    TransferEvent,
    TransferKind,
)

__all__ = [
    "BALANCE_KINDS",
    "DailyBalance",
    "DailyClose",
    "Direction",
    "LedgerAccount",
    "LedgerEntry",
    "LedgerTransfer",
    "Phase",
    "RollupQueueItem",
    "TransferEvent",
    "TransferKind",
]
