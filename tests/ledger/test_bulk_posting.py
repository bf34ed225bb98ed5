"""Many transfers in one statement: each event once, of the platform, balanced."""

import uuid
from dataclasses import replace

import pytest
from django.db import IntegrityError, transaction

from ledger.bulk_posting import post_transfers
from ledger.models import LedgerAccount, LedgerTransfer, TransferEntry
from ledger.postings import HoldingAccount
from ledger.statement_postings import StatementSubject, build_fee, build_payout

pytestmark = pytest.mark.django_db


def build_subject() -> StatementSubject:
    return StatementSubject(uuid.uuid4(), "txn_1", "test", "USD", HoldingAccount("stripe", None))


def test_a_repetition_posts_nothing_twice() -> None:
    subjects = [build_subject() for _ in range(3)]
    transfers = [build_fee(subject, 30 + number) for number, subject in enumerate(subjects)]
    with transaction.atomic():
        assert post_transfers(transfers[:2]) == 2
        assert post_transfers(transfers) == 1
    assert LedgerTransfer.objects.count() == 3
    assert sum(each.amount_minor for each in TransferEntry.objects.filter(direction="debit")) == 30 + 31 + 32


def test_a_payout_debits_the_bank_and_its_return_credits_it() -> None:
    with transaction.atomic():
        post_transfers([build_payout(build_subject(), 500), build_payout(build_subject(), -200)])
    bank = LedgerAccount.objects.get(kind="platform_bank")
    assert (bank.channel, bank.channel_account_id) == ("", None)
    found = TransferEntry.objects.filter(account=bank).order_by("amount_minor")
    assert [(each.direction, each.amount_minor) for each in found] == [("credit", 200), ("debit", 500)]


def test_an_unbalanced_transfer_is_refused() -> None:
    transfer = build_fee(build_subject(), 30)
    lopsided = replace(transfer, legs=[transfer.legs[0], replace(transfer.legs[1], amount_minor=31)])
    with pytest.raises(IntegrityError, match="does not balance"), transaction.atomic():
        post_transfers([lopsided])
