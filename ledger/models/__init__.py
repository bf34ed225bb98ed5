from ledger.models.balances import DailyBalance, DailyClose, RollupQueueItem
from ledger.models.transfers import (
    BALANCE_KINDS,
    EntryDirection,
    EntryPhase,
    LedgerAccount,
    LedgerTransfer,
    TransferEntry,
    TransferEvent,
    TransferKind,
)

__all__ = [
    "BALANCE_KINDS",
    "DailyBalance",
    "DailyClose",
    "EntryDirection",
    "EntryPhase",
    "LedgerAccount",
    "LedgerTransfer",
    "RollupQueueItem",
    "TransferEntry",
    "TransferEvent",
    "TransferKind",
]
