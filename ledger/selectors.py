"""Reads the ledger."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Sum, When

from ledger.chart import FEE_KINDS, MERCHANT_KINDS, LedgerAccountKind
from ledger.models import (
    BALANCE_KINDS,
    EntryDirection,
    EntryPhase,
    LedgerTransfer,
    TransferEntry,
    TransferEvent,
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
    """The change of a merchant's balance by one transfer: the amount before the fees, and the fees."""

    amount_minor: int
    application_fee_minor: int
    platform_fee_minor: int

    @property
    def fee_minor(self) -> int:
        return self.application_fee_minor + self.platform_fee_minor

    @property
    def net_minor(self) -> int:
        return self.amount_minor - self.fee_minor


def sum_application_fees(subject_ids: Collection[uuid.UUID]) -> int:
    """The posted application fees of these payments and attempts, less what these refunds gave back."""
    entries = TransferEntry.objects.filter(
        transfer__subject_id__in=subject_ids,
        account__kind=LedgerAccountKind.APPLICATION_FEES,
        phase=EntryPhase.POSTED,
    )
    return entries.aggregate(total=Sum(_SIGNED))["total"] or 0


def get_fee_basis(payment_id: uuid.UUID) -> dict[str, Any] | None:
    """The inputs of the platform fee of the payment's first capture. None: it has no fee plan."""
    captures = LedgerTransfer.objects.filter(subject_id=payment_id, event=TransferEvent.PAYMENT_CAPTURED)
    return captures.order_by("sequence").values_list("fee_basis", flat=True).first()


@dataclass(frozen=True, slots=True)
class PlatformFees:
    """The platform fees of one payment: what its captures were charged, and what its refunds gave back of it."""

    charged_minor: int
    returned_minor: int


def sum_platform_fees(payment_id: uuid.UUID) -> PlatformFees:
    is_charged = Q(transfer__event=TransferEvent.PAYMENT_CAPTURED)
    sums = TransferEntry.objects.filter(
        transfer__payment_id=payment_id,
        account__kind=LedgerAccountKind.PLATFORM_FEES,
        phase=EntryPhase.POSTED,
    ).aggregate(
        charged=Sum(_SIGNED, filter=is_charged, default=0),
        returned=Sum(_SIGNED, filter=~is_charged, default=0),
    )
    return PlatformFees(charged_minor=sums["charged"], returned_minor=-sums["returned"])


def sum_fees(payment_id: uuid.UUID) -> Mapping[str, int]:
    """The posted fees of the payment, less what was given back, by the kind of account."""
    kinds = (LedgerAccountKind.PLATFORM_FEES, LedgerAccountKind.CHANNEL_FEES)
    sums = (
        TransferEntry.objects.filter(
            transfer__payment_id=payment_id, account__kind__in=kinds, phase=EntryPhase.POSTED
        )
        .values("account__kind")
        .annotate(total=Sum(_SIGNED))
        .values_list("account__kind", "total")
    )
    return dict(sums)


def sum_captured(payment_id: uuid.UUID) -> int:
    """The posted amount of the payment itself, without its duplicate payments."""
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
    kind = LedgerAccountKind
    sums = (
        TransferEntry.objects.filter(
            transfer_id__in=transfer_ids, account__kind__in=MERCHANT_KINDS, phase=EntryPhase.POSTED
        )
        .values("transfer_id")
        .annotate(
            owed=Sum(_SIGNED, filter=~Q(account__kind__in=FEE_KINDS), default=0),
            application_fee=Sum(_SIGNED, filter=Q(account__kind=kind.APPLICATION_FEES), default=0),
            platform_fee=Sum(_SIGNED, filter=Q(account__kind=kind.PLATFORM_FEES), default=0),
        )
        .values_list("transfer_id", "owed", "application_fee", "platform_fee")
    )
    found = {transfer_id: MerchantAmounts(-owed, *fees) for transfer_id, owed, *fees in sums}
    return {each: found.get(each, MerchantAmounts(0, 0, 0)) for each in transfer_ids}
