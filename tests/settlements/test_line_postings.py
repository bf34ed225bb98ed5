"""The postings of matched lines, and the merchants to whom they belong."""

import uuid

import pytest
from django.db import connection, transaction

from channel_accounts.models import StoredChannelAccount
from common.crypto import seal
from ledger.models import LedgerAccount, LedgerTransfer, TransferEvent
from ledger.payout_postings import post_payout, request_payout
from ledger.posting import PostingSubject
from ledger.postings import HoldingAccount, complete_refund, post_payment, post_refund_after_all
from ledger.selectors import sum_fees
from monitoring.integrity import registry
from monitoring.integrity.search import find_violations
from settlements.models import StatementExpectation, StatementFile, StatementLine
from settlements.services.voiding import void_statement
from tests.settlements.statements import CHANNEL, Reported, expect, import_lines, list_cases
from tests.support.fixtures import new_merchant

pytestmark = pytest.mark.django_db

TOMORROW = 1


def assert_agrees_with_ledger() -> None:
    check = registry.find_check("statements_agree_with_ledger")
    with connection.cursor() as cursor:
        assert find_violations(cursor, check) == ([], 0)


def build_subject(source: str, merchant_id: uuid.UUID) -> PostingSubject:
    return PostingSubject(uuid.uuid4(), source, None, merchant_id, "test", "USD")


def test_a_payment_with_a_platform_fee_is_expected_as_a_whole() -> None:
    merchant_id, holding_account = new_merchant().merchant.id, HoldingAccount(CHANNEL, None)
    with transaction.atomic():
        post_payment(
            event=TransferEvent.PAYMENT_CAPTURED,
            subject=build_subject("PAY-1", merchant_id),
            holding_account=holding_account,
            amount_minor=1_000,
            captured_minor=1_000,
            platform_fee_minor=30,
        )
        post_refund_after_all(
            subject=build_subject("REF-1", merchant_id),
            holding_account=holding_account,
            amount_minor=400,
            platform_fee_minor=12,
        )
    import_lines([Reported("PAY-1", 1_000), Reported("REF-1", -400, kind="refund")])
    assert list_cases() == []
    assert StatementLine.objects.filter(state="matched").count() == 2


def test_the_fee_of_a_payment_is_posted_for_the_payment_and_reversed_for_it() -> None:
    payment_id, holding_account = uuid.uuid4(), HoldingAccount(CHANNEL, None)
    subject = PostingSubject(payment_id, "PAY-1", payment_id, new_merchant().merchant.id, "test", "USD")
    with transaction.atomic():
        post_payment(
            event=TransferEvent.PAYMENT_CAPTURED,
            subject=subject,
            holding_account=holding_account,
            amount_minor=1_000,
            captured_minor=1_000,
        )
    file = import_lines([Reported("PAY-1", 1_000, fee_minor=30), Reported("PAY-2", 5)])
    assert sum_fees(payment_id) == {"channel_fees": 30}
    StatementFile.objects.filter(id=file.id).update(void_requested_by="ana", void_approved_by="ben")
    void_statement(file_id=file.id)
    assert sum_fees(payment_id) == {"channel_fees": 0}


def test_the_platforms_side_of_an_application_fee_is_not_expected() -> None:
    merchant_id = new_merchant().merchant.id
    account = StoredChannelAccount.objects.create(
        merchant_id=merchant_id,
        environment="test",
        channel=CHANNEL,
        display_name="Shop",
        sealed_credentials=seal("{}"),
    )
    import_lines([])
    with transaction.atomic():
        post_payment(
            event=TransferEvent.PAYMENT_CAPTURED,
            subject=build_subject("PAY-1", merchant_id),
            holding_account=HoldingAccount(CHANNEL, account.id),
            amount_minor=1_000,
            captured_minor=1_000,
            application_fee_minor=30,
        )
    import_lines([], TOMORROW)
    assert StatementExpectation.objects.count() == 0


def test_an_application_fee_that_a_refund_gives_back_is_not_expected() -> None:
    """Stripe reports it to the connected account as a fee of its own, under a number that we do not know."""
    merchant_id = new_merchant().merchant.id
    account = StoredChannelAccount.objects.create(
        merchant_id=merchant_id,
        environment="test",
        channel=CHANNEL,
        display_name="Shop",
        sealed_credentials=seal("{}"),
    )
    holding_account = HoldingAccount(CHANNEL, account.id)
    with transaction.atomic():
        post_payment(
            event=TransferEvent.PAYMENT_CAPTURED,
            subject=build_subject("PAY-1", merchant_id),
            holding_account=holding_account,
            amount_minor=1_000,
            captured_minor=1_000,
            application_fee_minor=30,
        )
        post_refund_after_all(
            subject=build_subject("REF-1", merchant_id),
            holding_account=holding_account,
            amount_minor=400,
            application_fee_minor=12,
        )
        complete_refund(
            subject=build_subject("REF-2", merchant_id),
            holding_account=holding_account,
            amount_minor=100,
            application_fee_minor=3,
        )
    lines = [
        Reported("PAY-1", 1_000),
        Reported("PAY-1", -30, kind="application_fee"),
        Reported("REF-1", -400, kind="refund"),
        Reported("REF-2", -100, kind="refund"),
        Reported("", 0, kind="fee", fee_minor=-12, channel_no="fr_1"),
        Reported("", 0, kind="fee", fee_minor=-3, channel_no="fr_2"),
    ]
    import_lines(lines, channel_account_id=account.id)
    import_lines([], TOMORROW, channel_account_id=account.id)
    assert list_cases() == []
    assert_agrees_with_ledger()


@pytest.mark.parametrize("is_of_merchant", [True, False])
def test_only_an_account_of_the_platform_posts_fees_and_payouts(is_of_merchant: bool) -> None:
    account = StoredChannelAccount.objects.create(
        merchant_id=new_merchant().merchant.id if is_of_merchant else None,
        environment="test",
        channel=CHANNEL,
        display_name="Shop",
        sealed_credentials=seal("{}"),
    )
    file = import_lines(
        [
            Reported("", 0, kind="fee", fee_minor=200),
            Reported("", 0, kind="rounding", fee_minor=1),
            Reported("", -800, kind="payout", payout_no="po_1"),
        ],
        channel_account_id=account.id,
    )
    assert (file.state, list_cases()) == ("posted", [])
    assert LedgerTransfer.objects.count() == (0 if is_of_merchant else 3)
    assert_agrees_with_ledger()


def test_a_fee_of_an_earlier_statement_is_posted_when_its_line_is_matched_later() -> None:
    import_lines([Reported("PAY-1", 1_000, fee_minor=30)])
    assert list_cases() == [("unknown_line", "PAY-1", 0, 1_000)]
    expect(("PAY-1", 1_000))
    import_lines([], TOMORROW)
    assert list_cases() == []
    (fee,) = LedgerTransfer.objects.filter(event="channel.fee")
    assert fee.subject_id == StatementLine.objects.get().id
    assert_agrees_with_ledger()


def test_a_rounding_of_nothing_is_posted_as_nothing() -> None:
    file = import_lines([])
    StatementLine.objects.create(
        file=file,
        number=1,
        kind="rounding",
        gross_minor=0,
        fee_minor=0,
        net_minor=0,
        currency="USD",
        occurred_at=file.period_start,
        raw={},
        state="matched",
    )
    import_lines([], TOMORROW)
    assert LedgerTransfer.objects.count() == 0
    assert StatementLine.objects.get().posted_at is not None


def test_payouts_of_channels_and_of_merchants_use_one_bank_account() -> None:
    import_lines([Reported("", -800, kind="payout", payout_no="po_1")])
    subject = build_subject("PO-1", new_merchant().merchant.id)
    with transaction.atomic():
        request_payout(subject=subject, amount_minor=500)
        post_payout(subject=subject, amount_minor=500)
    assert LedgerAccount.objects.filter(kind="platform_bank").count() == 1
