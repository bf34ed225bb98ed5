"""The postings of a channel's settlement statement. docs/LEDGER.md has the same as a table.

These events have no merchant: the channel charges and pays the account's owner. A fee has the payment for which it was
kept, where the line says so.
"""

import uuid
from dataclasses import dataclass

from ledger.chart import AccountIdentity, build_bank_account
from ledger.chart import LedgerAccountKind as Kind
from ledger.models import EntryDirection, TransferEvent
from ledger.posting import Leg, PostingSubject, Transfer
from ledger.postings import HoldingAccount


@dataclass(frozen=True, slots=True)
class StatementSubject:
    """The line or case. `id` is its id, `source` the channel's number of it."""

    id: uuid.UUID
    source: str
    environment: str
    currency: str
    holding_account: HoldingAccount
    payment_id: uuid.UUID | None = None


def build_fee(subject: StatementSubject, fee_minor: int) -> Transfer:
    """The channel kept `fee_minor`; it gave a fee back when negative."""
    return _build(subject, TransferEvent.CHANNEL_FEE, _account(Kind.CHANNEL_FEES, subject), fee_minor)


def build_payout(subject: StatementSubject, amount_minor: int) -> Transfer:
    """The channel paid `amount_minor` to our bank; a payout came back when negative."""
    bank = build_bank_account(subject.environment, subject.currency)
    return _build(subject, TransferEvent.CHANNEL_PAYOUT, bank, amount_minor)


def build_correction(
    subject: StatementSubject, kind: Kind, shortfall_minor: int, *, sequence: int
) -> Transfer:
    """The channel holds `shortfall_minor` less than the ledger says (more when negative). `kind` takes the
    difference."""
    return _build(
        subject,
        TransferEvent.STATEMENT_CORRECTED,
        _account(kind, subject),
        shortfall_minor,
        sequence=sequence,
    )


def _build(
    subject: StatementSubject,
    event: TransferEvent,
    debited: AccountIdentity,
    amount_minor: int,
    *,
    sequence: int = 0,
) -> Transfer:
    """Debits `debited` and credits what the channel holds; the other way round for a negative amount."""
    credited = _account(Kind.CHANNEL_RECEIVABLE, subject)
    if amount_minor < 0:
        debited, credited = credited, debited
    return Transfer(
        event=event,
        subject=PostingSubject(
            subject.id,
            subject.source[:64],
            subject.payment_id,
            None,
            subject.environment,
            subject.currency,
        ),
        legs=[
            Leg(debited, EntryDirection.DEBIT, abs(amount_minor)),
            Leg(credited, EntryDirection.CREDIT, abs(amount_minor)),
        ],
        sequence=sequence,
    )


def _account(kind: Kind, subject: StatementSubject) -> AccountIdentity:
    return AccountIdentity(
        kind,
        subject.environment,
        subject.currency,
        None,
        subject.holding_account.channel,
        subject.holding_account.channel_account_id,
    )
