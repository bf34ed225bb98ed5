"""Reads the ledger."""

import uuid
from collections.abc import Collection

from django.db.models import Case, F, Sum, When

from ledger.chart import LedgerAccountKind
from ledger.models import EntryDirection, EntryPhase, TransferEntry


def sum_application_fees(subject_ids: Collection[uuid.UUID]) -> int:
    """The posted application fees of these payments and attempts, less what these refunds gave back."""
    signed = Case(When(direction=EntryDirection.DEBIT, then=F("amount_minor")), default=-F("amount_minor"))
    entries = TransferEntry.objects.filter(
        transfer__subject_id__in=subject_ids,
        account__kind=LedgerAccountKind.APPLICATION_FEES,
        phase=EntryPhase.POSTED,
    )
    return entries.aggregate(total=Sum(signed))["total"] or 0
