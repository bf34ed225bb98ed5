"""Which event of a payout posts what. docs/LEDGER.md has the same as a table.

Each function posts one transfer in the caller's transaction, which is the transaction of the event itself. The money
leaves the merchant's account `payouts` and the platform's account at its bank.
"""

from ledger.chart import AccountIdentity, build_bank_account
from ledger.chart import LedgerAccountKind as Kind
from ledger.models import EntryDirection, TransferEvent, TransferKind
from ledger.posting import Leg, PostingSubject, Transfer, post_transfer

# In the place of a channel, in the identity of a merchant's account `payouts`.
BANK = "bank"


def request_payout(*, subject: PostingSubject, amount_minor: int) -> None:
    """Reserves the amount of a payout until it is sent or canceled."""
    post_transfer(
        Transfer(
            event=TransferEvent.PAYOUT_REQUESTED,
            subject=subject,
            kind=TransferKind.PENDING,
            legs=_move(subject, Kind.PAYOUTS, Kind.PLATFORM_BANK, amount_minor),
        )
    )


def post_payout(*, subject: PostingSubject, amount_minor: int) -> None:
    """The payout was sent."""
    post_transfer(
        Transfer(
            event=TransferEvent.PAYOUT_POSTED,
            subject=subject,
            kind=TransferKind.POST,
            inverts=TransferEvent.PAYOUT_REQUESTED,
            legs=_move(subject, Kind.PAYOUTS, Kind.PLATFORM_BANK, amount_minor),
        )
    )


def void_payout(*, subject: PostingSubject) -> None:
    """The payout was canceled before it was sent."""
    post_transfer(
        Transfer(
            event=TransferEvent.PAYOUT_CANCELED,
            subject=subject,
            kind=TransferKind.VOID,
            inverts=TransferEvent.PAYOUT_REQUESTED,
        )
    )


def return_payout(*, subject: PostingSubject, amount_minor: int) -> None:
    """The bank gave `amount_minor` of the payout back: all of it, less its fee."""
    post_transfer(
        Transfer(
            event=TransferEvent.PAYOUT_RETURNED,
            subject=subject,
            sequence_after=(TransferEvent.PAYOUT_RETURNED,),
            legs=_move(subject, Kind.PLATFORM_BANK, Kind.PAYOUTS, amount_minor),
        )
    )


def post_payout_after_all(*, subject: PostingSubject) -> None:
    """The bank has paid a payout that was recorded as failed: takes back what was given back."""
    post_transfer(
        Transfer(
            event=TransferEvent.PAYOUT_POSTED,
            subject=subject,
            inverts=TransferEvent.PAYOUT_RETURNED,
            sequence_after=(TransferEvent.PAYOUT_POSTED,),
        )
    )


def _move(subject: PostingSubject, debited: Kind, credited: Kind, amount_minor: int) -> list[Leg]:
    return [
        Leg(_account(debited, subject), EntryDirection.DEBIT, amount_minor),
        Leg(_account(credited, subject), EntryDirection.CREDIT, amount_minor),
    ]


def _account(kind: Kind, subject: PostingSubject) -> AccountIdentity:
    if kind == Kind.PLATFORM_BANK:
        return build_bank_account(subject.environment, subject.currency)
    return AccountIdentity(
        kind=kind,
        environment=subject.environment,
        currency=subject.currency,
        merchant_id=subject.merchant_id,
        channel=BANK,
        channel_account_id=None,
    )
