"""Balances and balance transactions as the API shows them, with Stripe's names of fields."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.clock import rfc3339
from ledger.balances import MerchantBalance
from ledger.models import LedgerTransfer, TransferEvent
from ledger.selectors import MerchantAmounts

# Each type and the events that have it.
BALANCE_TRANSACTION_TYPES: Final[Mapping[str, tuple[TransferEvent, ...]]] = {
    "payment": (
        TransferEvent.PAYMENT_CAPTURED,
        TransferEvent.PAYMENT_LATE,
        TransferEvent.PAYMENT_DUPLICATE,
    ),
    "refund": (
        TransferEvent.REFUND_SUCCEEDED,
        TransferEvent.REFUND_COMPLETED,
        TransferEvent.SUSPENSE_CHARGED,
    ),
    "refund_failure": (TransferEvent.REFUND_REVERSED, TransferEvent.SUSPENSE_RETURNED),
    "dispute": (TransferEvent.DISPUTE_WITHDRAWN,),
    "dispute_reversal": (TransferEvent.DISPUTE_REINSTATED,),
    "dispute_adjustment": (TransferEvent.DISPUTE_REBOOKED,),
    "payout": (TransferEvent.PAYOUT_POSTED,),
    "payout_failure": (TransferEvent.PAYOUT_RETURNED,),
}
PAYOUT_EVENTS: Final = (TransferEvent.PAYOUT_POSTED, TransferEvent.PAYOUT_RETURNED)
_TYPE_OF_EVENT = {event: kind for kind, events in BALANCE_TRANSACTION_TYPES.items() for event in events}


def balance_body(balances: Sequence[MerchantBalance], environment: str) -> dict[str, Any]:
    return {
        "available": [{"amount": each.available_minor, "currency": each.currency} for each in balances],
        "pending": [{"amount": each.reserved_minor, "currency": each.currency} for each in balances],
        "environment": environment,
    }


def balance_transaction_body(transfer: LedgerTransfer, amounts: MerchantAmounts) -> dict[str, Any]:
    return {
        "id": str(transfer.id),
        "type": _TYPE_OF_EVENT[TransferEvent(transfer.event)],
        "amount": amounts.amount_minor,
        "fee": amounts.fee_minor,
        "fee_details": [
            {"type": kind, "amount": fee_minor, "currency": transfer.currency}
            for kind, fee_minor in (
                ("application_fee", amounts.application_fee_minor),
                ("platform_fee", amounts.platform_fee_minor),
            )
            if fee_minor
        ],
        "net": amounts.net_minor,
        "currency": transfer.currency,
        "source": transfer.source,
        "environment": transfer.environment,
        "created_at": rfc3339(transfer.created_at),
    }
