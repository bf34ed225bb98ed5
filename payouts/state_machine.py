"""The transitions of payouts: conditional updates, each with its ledger transfer and event in one transaction."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from ledger import payout_postings
from payouts.events import emit_payout_event
from payouts.models import Payout, PayoutStatus
from payouts.postings import build_posting_subject


def mark_in_transit(*, payout: Payout) -> bool:
    """Records that the bank has the instruction. Posts the reserved amount. False when that has happened before."""
    if not _move(payout, [PayoutStatus.PENDING], status=PayoutStatus.IN_TRANSIT, sent_at=Now()):
        return False
    payout_postings.post_payout(subject=build_posting_subject(payout), amount_minor=payout.amount_minor)
    return True


def mark_canceled(*, payout: Payout, code: str, message: str) -> bool:
    """Releases the reserved amount of a payout that was not sent. False when it has another status."""
    is_moved = _move(
        payout,
        [PayoutStatus.PENDING],
        status=PayoutStatus.CANCELED,
        failure_code=code,
        failure_message=message,
    )
    if is_moved:
        payout_postings.void_payout(subject=build_posting_subject(payout))
        emit_payout_event("payout.canceled", payout)
    return is_moved


def mark_paid(*, payout: Payout, arrival_date: dt.date | None, bank_reference: str) -> bool:
    """The bank has paid, perhaps after it was recorded as failed: then the money is taken from the merchant again."""
    had_failed = payout.status == PayoutStatus.FAILED
    is_moved = _move(
        payout,
        [PayoutStatus.FAILED if had_failed else PayoutStatus.IN_TRANSIT],
        failure_code="",
        failure_message="",
        return_fee_minor=0,
        claimed_outcome=None,
        claimed_by="",
        confirmed_by="",
        status=PayoutStatus.PAID,
        arrival_date=arrival_date,
        bank_reference=bank_reference,
        settled_at=Now(),
    )
    if is_moved:
        if had_failed:
            payout_postings.post_payout_after_all(subject=build_posting_subject(payout))
        emit_payout_event("payout.paid", payout)
    return is_moved


def claim_outcome(*, payout: Payout, claim: Mapping[str, Any], actor: str) -> bool:
    """One person says that the payout failed or came back. False when it cannot any more."""
    allowed = [PayoutStatus.IN_TRANSIT]
    if claim["status"] == PayoutStatus.RETURNED:
        allowed.append(PayoutStatus.PAID)
    return _move(payout, allowed, claimed_outcome=claim, claimed_by=actor, confirmed_by="")


def mark_failed(*, payout: Payout, code: str, message: str, fee_minor: int, confirmed_by: str) -> bool:
    """The bank did not pay. The amount is payable again, less what the bank kept."""
    return _give_back(
        payout,
        PayoutStatus.FAILED,
        [PayoutStatus.IN_TRANSIT],
        "payout.failed",
        code,
        message,
        fee_minor,
        confirmed_by,
    )


def mark_returned(*, payout: Payout, code: str, message: str, fee_minor: int, confirmed_by: str) -> bool:
    """The merchant's bank sent the money back. The amount is payable again, less what the bank kept."""
    allowed = [PayoutStatus.IN_TRANSIT, PayoutStatus.PAID]
    return _give_back(
        payout, PayoutStatus.RETURNED, allowed, "payout.returned", code, message, fee_minor, confirmed_by
    )


def _give_back(
    payout: Payout,
    status: PayoutStatus,
    allowed: list[PayoutStatus],
    event_type: str,
    code: str,
    message: str,
    fee_minor: int,
    confirmed_by: str,
) -> bool:
    is_moved = _move(
        payout,
        allowed,
        status=status,
        failure_code=code,
        failure_message=message,
        return_fee_minor=fee_minor,
        confirmed_by=confirmed_by,
        settled_at=Now(),
    )
    if is_moved:
        payout_postings.return_payout(
            subject=build_posting_subject(payout), amount_minor=payout.amount_minor - fee_minor
        )
        emit_payout_event(event_type, payout)
    return is_moved


def _move(payout: Payout, allowed: list[PayoutStatus], **changes: Any) -> bool:
    assert connection.in_atomic_block, "a payout moves in the transaction of its ledger transfer"
    is_moved = Payout.objects.filter(id=payout.id, status__in=allowed).update(updated_at=Now(), **changes)
    if is_moved:
        payout.refresh_from_db()
    return bool(is_moved)
