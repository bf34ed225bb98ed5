"""Reads the ledger."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db.models import Case, F, Q, QuerySet, Sum, When

from ledger.chart import MERCHANT_KINDS, LedgerAccountKind
from ledger.models import (
    BALANCE_KINDS,
    EntryDirection,
    EntryPhase,
    LedgerTransfer,
    TransferEntry,
    TransferKind,
)
from merchants.principal import Principal

# Debits less credits.
_SIGNED = Case(
    When(direction=EntryDirection.DEBIT, then=F("amount_minor")),
    default=-F("amount_minor"),
)


@dataclass(frozen=True, slots=True)
class MerchantAmounts:
    """What one transfer did to its merchant's balance: the amount before the fee, and the fee."""

    amount_minor: int
    fee_minor: int


def sum_application_fees(subject_ids: Collection[uuid.UUID]) -> int:
    """The posted application fees of these payments and attempts, less what these refunds gave back."""
    entries = TransferEntry.objects.filter(
        transfer__subject_id__in=subject_ids,
        account__kind=LedgerAccountKind.APPLICATION_FEES,
        phase=EntryPhase.POSTED,
    )
    return entries.aggregate(total=Sum(_SIGNED))["total"] or 0


def sum_captured(payment_id: uuid.UUID) -> int:
    """What is posted of the payment's own money, without its duplicate payments."""
    return -sum_posted(payment_id, LedgerAccountKind.MERCHANT_PAYABLE)


def sum_posted(subject_id: uuid.UUID, kind: LedgerAccountKind) -> int:
    """The subject's posted debits less credits on accounts of this kind."""
    entries = TransferEntry.objects.filter(
        transfer__subject_id=subject_id, account__kind=kind, phase=EntryPhase.POSTED
    )
    return entries.aggregate(total=Sum(_SIGNED))["total"] or 0


def has_pending_transfer(subject_id: uuid.UUID) -> bool:
    """Whether a pending transfer of the subject is neither posted nor voided."""
    return LedgerTransfer.objects.filter(
        subject_id=subject_id, kind=TransferKind.PENDING, settled_by__isnull=True
    ).exists()


def get_balance_transactions(principal: Principal) -> QuerySet[LedgerTransfer]:
    """The transfers that changed the merchant's posted balance."""
    return LedgerTransfer.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment, kind__in=BALANCE_KINDS
    )


def sum_merchant_amounts(transfer_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, MerchantAmounts]:
    """One statement for a page of transfers. One that has no entry of the merchant moved nothing of its balance."""
    is_fee = Q(account__kind=LedgerAccountKind.APPLICATION_FEES)
    sums = (
        TransferEntry.objects.filter(
            transfer_id__in=transfer_ids, account__kind__in=MERCHANT_KINDS, phase=EntryPhase.POSTED
        )
        .values("transfer_id")
        .annotate(owed=Sum(_SIGNED, filter=~is_fee, default=0), fee=Sum(_SIGNED, filter=is_fee, default=0))
        .values_list("transfer_id", "owed", "fee")
    )
    found = {transfer_id: MerchantAmounts(-owed, fee) for transfer_id, owed, fee in sums}
    return {each: found.get(each, MerchantAmounts(0, 0)) for each in transfer_ids}
