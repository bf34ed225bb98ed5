"""Reads the ledger."""

import uuid
from collections.abc import Collection

from django.db.models import Case, F, Sum, When

from ledger.chart import AccountKind
from ledger.models import Direction, LedgerEntry, Phase


def sum_application_fees(subject_ids: Collection[uuid.UUID]) -> int:
    """The posted application fees of these payments and attempts, less what these refunds gave back."""
    signed = Case(When(direction=Direction.DEBIT, then=F("amount_minor")), default=-F("amount_minor"))
    entries = LedgerEntry.objects.filter(
        transfer__subject_id__in=subject_ids,
        account__kind=AccountKind.APPLICATION_FEES,
        phase=Phase.POSTED,
    )
    return entries.aggregate(total=Sum(signed))["total"] or 0
