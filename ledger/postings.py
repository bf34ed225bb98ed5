"""The postings of each event. docs/LEDGER.md has the same as a table.

Each function posts one transfer in the caller's transaction, which is the transaction of the event itself.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from ledger.chart import AccountIdentity
from ledger.chart import LedgerAccountKind as Kind
from ledger.models import EntryDirection, TransferEvent, TransferKind
from ledger.posting import Leg, PostingSubject, Transfer, post_transfer


@dataclass(frozen=True, slots=True)
class HoldingAccount:
    """The channel account that holds the money."""

    channel: str
    channel_account_id: uuid.UUID | None


def post_payment(
    *,
    event: TransferEvent,
    subject: PostingSubject,
    holding_account: HoldingAccount,
    amount_minor: int,
    captured_minor: int,
    application_fee_minor: int = 0,
    platform_fee_minor: int = 0,
    fee_basis: Mapping[str, Any] | None = None,
    is_opening: bool = False,
    rows: Sequence[Model] = (),
) -> None:
    """`amount_minor` was captured now, and `captured_minor` in all. The platform's part of it is
    `application_fee_minor` at a connected account, and `platform_fee_minor` at its own account; `fee_basis` has all
    inputs of the latter. `rows` are inserted with the same statement."""
    post_transfer(
        Transfer(
            event=event,
            subject=subject,
            sequence=captured_minor,
            legs=[
                *_move(
                    subject,
                    holding_account,
                    Kind.CHANNEL_RECEIVABLE,
                    Kind.MERCHANT_PAYABLE,
                    amount_minor,
                ),
                *_build_application_fee_legs(subject, holding_account, application_fee_minor),
                *_build_platform_fee_legs(subject, holding_account, platform_fee_minor),
            ],
            fee_basis=fee_basis,
            is_opening=is_opening,
        ),
        rows=rows,
    )


def post_refund_reservation(
    *, subject: PostingSubject, holding_account: HoldingAccount, amount_minor: int, is_opening: bool = False
) -> None:
    """Reserves the amount of a refund until it succeeds or fails."""
    post_transfer(
        Transfer(
            event=TransferEvent.REFUND_REQUESTED,
            subject=subject,
            kind=TransferKind.PENDING,
            legs=_move(subject, holding_account, Kind.REFUNDS, Kind.CHANNEL_RECEIVABLE, amount_minor),
            is_opening=is_opening,
        )
    )


def post_refund(
    *,
    subject: PostingSubject,
    holding_account: HoldingAccount,
    amount_minor: int,
    application_fee_minor: int = 0,
    platform_fee_minor: int = 0,
    is_opening: bool = False,
) -> None:
    """The refund succeeded; the platform gives these parts of its fees back."""
    _succeed_refund(
        subject,
        holding_account,
        amount_minor,
        TransferKind.POST,
        application_fee_minor=application_fee_minor,
        platform_fee_minor=platform_fee_minor,
        is_opening=is_opening,
    )


def post_refund_after_all(
    *,
    subject: PostingSubject,
    holding_account: HoldingAccount,
    amount_minor: int,
    application_fee_minor: int = 0,
    platform_fee_minor: int = 0,
    is_opening: bool = False,
) -> None:
    """A failed refund succeeded after all, with `amount_minor` of it. Nothing of it is pending any more."""
    _succeed_refund(
        subject,
        holding_account,
        amount_minor,
        TransferKind.SINGLE,
        application_fee_minor=application_fee_minor,
        platform_fee_minor=platform_fee_minor,
        is_opening=is_opening,
    )


def void_refund(*, subject: PostingSubject, is_opening: bool = False) -> None:
    """The refund failed."""
    post_transfer(
        Transfer(
            event=TransferEvent.REFUND_FAILED,
            subject=subject,
            kind=TransferKind.VOID,
            inverts=TransferEvent.REFUND_REQUESTED,
            is_opening=is_opening,
        )
    )


def reverse_refund(*, subject: PostingSubject, is_opening: bool = False) -> None:
    """A refund failed after it had succeeded: the bank returned the money."""
    post_transfer(
        Transfer(
            event=TransferEvent.REFUND_REVERSED,
            subject=subject,
            inverts=TransferEvent.REFUND_SUCCEEDED,
            sequence_after=[TransferEvent.REFUND_SUCCEEDED],
            is_opening=is_opening,
        )
    )


_DISPUTE_EVENTS = (
    TransferEvent.DISPUTE_WITHDRAWN,
    TransferEvent.DISPUTE_REINSTATED,
    TransferEvent.DISPUTE_REBOOKED,
)


def post_dispute(
    *,
    subject: PostingSubject,
    holding_account: HoldingAccount,
    amount_minor: int,
    suspense_minor: int,
    is_opening: bool = False,
) -> None:
    """A dispute took `amount_minor`, or gave it back when negative; `suspense_minor` of it is in suspense. Without an
    amount, money moves between the merchant's disputes and suspense."""
    event = TransferEvent.DISPUTE_REBOOKED
    if amount_minor:
        event = TransferEvent.DISPUTE_WITHDRAWN if amount_minor > 0 else TransferEvent.DISPUTE_REINSTATED
    debits = {
        Kind.DISPUTES: amount_minor - suspense_minor,
        Kind.SUSPENSE: suspense_minor,
        Kind.CHANNEL_RECEIVABLE: -amount_minor,
    }
    legs = [
        Leg(
            _account(kind, subject, holding_account),
            EntryDirection.DEBIT if signed_minor > 0 else EntryDirection.CREDIT,
            abs(signed_minor),
        )
        for kind, signed_minor in debits.items()
        if signed_minor
    ]
    post_transfer(
        Transfer(
            event=event,
            subject=subject,
            sequence_after=_DISPUTE_EVENTS,
            legs=legs,
            is_opening=is_opening,
        )
    )


def add_to_suspense(*, subject: PostingSubject, holding_account: HoldingAccount, amount_minor: int) -> None:
    """A refund at the channel took more than the payment holds."""
    post_transfer(
        Transfer(
            event=TransferEvent.SUSPENSE_ADDED,
            subject=subject,
            legs=_move(subject, holding_account, Kind.SUSPENSE, Kind.CHANNEL_RECEIVABLE, amount_minor),
        )
    )


def release_from_suspense(
    *, subject: PostingSubject, holding_account: HoldingAccount, amount_minor: int, is_charged: bool
) -> None:
    """The channel holds the money again, or another posting of the same transaction takes it. `is_charged`: the
    merchant had paid it."""
    kind = Kind.REFUNDS if is_charged else Kind.SUSPENSE
    post_transfer(
        Transfer(
            event=TransferEvent.SUSPENSE_RETURNED if is_charged else TransferEvent.SUSPENSE_RELEASED,
            subject=subject,
            legs=_move(subject, holding_account, Kind.CHANNEL_RECEIVABLE, kind, amount_minor),
        )
    )


def charge_suspense(*, subject: PostingSubject, holding_account: HoldingAccount, amount_minor: int) -> None:
    """Staff have decided that the merchant pays."""
    post_transfer(
        Transfer(
            event=TransferEvent.SUSPENSE_CHARGED,
            subject=subject,
            legs=_move(subject, holding_account, Kind.REFUNDS, Kind.SUSPENSE, amount_minor),
        )
    )


def complete_refund(
    *,
    subject: PostingSubject,
    holding_account: HoldingAccount,
    amount_minor: int,
    application_fee_minor: int = 0,
    platform_fee_minor: int = 0,
) -> None:
    """The rest of a refund that was in suspense fits now."""
    post_transfer(
        Transfer(
            event=TransferEvent.REFUND_COMPLETED,
            subject=subject,
            legs=[
                *_move(subject, holding_account, Kind.REFUNDS, Kind.CHANNEL_RECEIVABLE, amount_minor),
                *_build_application_fee_legs(subject, holding_account, -application_fee_minor),
                *_build_platform_fee_legs(subject, holding_account, -platform_fee_minor),
            ],
        )
    )


def _succeed_refund(
    subject: PostingSubject,
    holding_account: HoldingAccount,
    amount_minor: int,
    kind: TransferKind,
    *,
    application_fee_minor: int,
    platform_fee_minor: int,
    is_opening: bool,
) -> None:
    post_transfer(
        Transfer(
            event=TransferEvent.REFUND_SUCCEEDED,
            subject=subject,
            kind=kind,
            inverts=TransferEvent.REFUND_REQUESTED if kind == TransferKind.POST else None,
            # Each failure in between makes room for one more success.
            sequence_after=[TransferEvent.REFUND_FAILED, TransferEvent.REFUND_REVERSED],
            legs=[
                *_move(
                    subject,
                    holding_account,
                    Kind.REFUNDS,
                    Kind.CHANNEL_RECEIVABLE,
                    amount_minor,
                ),
                *_build_application_fee_legs(subject, holding_account, -application_fee_minor),
                *_build_platform_fee_legs(subject, holding_account, -platform_fee_minor),
            ],
            is_opening=is_opening,
        )
    )


def _build_application_fee_legs(
    subject: PostingSubject, holding_account: HoldingAccount, fee_minor: int
) -> list[Leg]:
    """The channel moves the fee from the merchant's connected account to the platform's own account; a negative fee
    moves back."""
    own = HoldingAccount(holding_account.channel, None)
    return [
        *_move_signed(
            _account(Kind.APPLICATION_FEES, subject, holding_account),
            _account(Kind.CHANNEL_RECEIVABLE, subject, holding_account),
            fee_minor,
        ),
        *_move_signed(
            _account(Kind.CHANNEL_RECEIVABLE, subject, own),
            _account(Kind.FEE_INCOME, subject, own),
            fee_minor,
        ),
    ]


def _build_platform_fee_legs(
    subject: PostingSubject, holding_account: HoldingAccount, fee_minor: int
) -> list[Leg]:
    """The platform owes the merchant less; no money moves at the channel. A negative fee is given back."""
    return _move_signed(
        _account(Kind.PLATFORM_FEES, subject, holding_account),
        _account(Kind.FEE_INCOME, subject, holding_account),
        fee_minor,
    )


def _move_signed(debited: AccountIdentity, credited: AccountIdentity, amount_minor: int) -> list[Leg]:
    """Nothing for 0, and the other way round for a negative amount."""
    if amount_minor == 0:
        return []
    if amount_minor < 0:
        debited, credited = credited, debited
    return [
        Leg(debited, EntryDirection.DEBIT, abs(amount_minor)),
        Leg(credited, EntryDirection.CREDIT, abs(amount_minor)),
    ]


def _move(
    subject: PostingSubject,
    holding_account: HoldingAccount,
    debited: Kind,
    credited: Kind,
    amount_minor: int,
) -> list[Leg]:
    return [
        Leg(_account(debited, subject, holding_account), EntryDirection.DEBIT, amount_minor),
        Leg(_account(credited, subject, holding_account), EntryDirection.CREDIT, amount_minor),
    ]


_OF_PLATFORM = (Kind.CHANNEL_RECEIVABLE, Kind.FEE_INCOME, Kind.SUSPENSE)


def _account(kind: Kind, subject: PostingSubject, holding_account: HoldingAccount) -> AccountIdentity:
    return AccountIdentity(
        kind=kind,
        environment=subject.environment,
        currency=subject.currency,
        merchant_id=None if kind in _OF_PLATFORM else subject.merchant_id,
        channel=holding_account.channel,
        channel_account_id=holding_account.channel_account_id,
    )
