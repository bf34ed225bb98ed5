"""The postings of payouts."""

from ledger.posting import PostingSubject
from payouts.models import Payout


def build_posting_subject(payout: Payout) -> PostingSubject:
    return PostingSubject(
        id=payout.id,
        source=payout.payout_no,
        payment_id=None,
        merchant_id=payout.merchant_id,
        environment=payout.environment,
        currency=payout.currency,
    )
