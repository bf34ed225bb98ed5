"""Each line is matched or in exactly one case, and nothing else."""

import datetime as dt

import pytest

from ledger.models import LedgerTransfer, TransferEvent
from settlements.models import ChannelFeeRate, SettlementCase, StatementExpectation, StatementLine
from settlements.services.matching import SettlingFailed, settle_statements
from tests.settlements.statements import CHANNEL, Reported, expect, import_lines, list_cases

pytestmark = pytest.mark.django_db

TOMORROW, DAY_AFTER = 1, 2


def test_one_to_one_posts_the_fee() -> None:
    expect(("PAY-1", 10_000), ("PAY-2", 500))
    file = import_lines([Reported("PAY-1", 10_000, fee_minor=320), Reported("PAY-2", 500)])
    assert list_cases() == []
    assert file.state == "posted"
    assert set(StatementExpectation.objects.values_list("state", flat=True)) == {"met"}
    (fee,) = LedgerTransfer.objects.filter(event="channel.fee")
    assert fee.subject_id == StatementLine.objects.get(reference="PAY-1").id
    assert fee.entries.get(direction="debit").account.kind == "channel_fees"


def test_one_line_for_many_captures_and_many_lines_for_one() -> None:
    expect(("PAY-1", 300), ("PAY-1", 700), ("PAY-2", 600))
    import_lines(
        [Reported("PAY-1", 1_000), Reported("PAY-2", 1_000), Reported("PAY-2", -400)]  # a capture in part
    )
    assert list_cases() == []
    assert StatementLine.objects.filter(state="matched").count() == 3


def test_refunds_and_disputes_have_keys_of_their_own() -> None:
    expect(("PAY-1", 10_000))
    expect(("REF-1", -2_000), event=TransferEvent.REFUND_SUCCEEDED)
    expect(("DSP-1", -3_000), event=TransferEvent.DISPUTE_WITHDRAWN)
    import_lines(
        [
            Reported("PAY-1", 10_000),
            Reported("REF-1", -2_000, kind="refund"),
            Reported("DSP-1", -3_000, kind="dispute", fee_minor=1_500),
        ]
    )
    assert list_cases() == []


@pytest.mark.parametrize(
    ("lines", "case"),
    [
        ([Reported("PAY-9", 100)], ("unknown_line", "PAY-9", 0, 100)),
        ([Reported("PAY-1", 900)], ("amount_differs", "PAY-1", 1_000, 900)),
        ([Reported("PAY-1", 1_000, currency="EUR")], ("currency_differs", "PAY-1", 1_000, 1_000)),
        ([Reported("PAY-1", 1_000), Reported("PAY-1", 1_000)], ("duplicate_line", "PAY-1", 0, 1_000)),
        (
            [Reported("PAY-1", 1_000, later_by=dt.timedelta(days=1))],
            ("day_differs", "PAY-1", 1_000, 1_000),
        ),
        ([Reported("PAY-1", 1_000, fee_minor=99)], ("fee_differs", "PAY-1", 1_000, 1_000)),
    ],
)
def test_each_difference_is_one_case(lines: list[Reported], case: tuple[str, str, int, int]) -> None:
    ChannelFeeRate.objects.create(
        channel=CHANNEL,
        environment="test",
        kind="payment",
        currency="USD",
        rate_millionths=29_000,
        valid_from="2026-01-01",
    )
    expect(("PAY-1", 1_000), ("PAY-2", 2_000))
    agreed = [
        line if line.fee_minor else Reported(**{**line.__dict__, "fee_minor": line.gross_minor * 29 // 1000})
        for line in [*lines, Reported("PAY-2", 2_000)]
    ]
    import_lines(agreed)
    assert list_cases() == [case]
    assert StatementLine.objects.filter(state="new").count() == 0


def test_a_line_doubled_on_the_next_day_is_a_case() -> None:
    expect(("PAY-1", 1_000))
    import_lines([Reported("PAY-1", 1_000)])
    import_lines([Reported("PAY-1", 1_000)], TOMORROW)
    assert list_cases() == [("duplicate_line", "PAY-1", 0, 1_000)]


def test_a_missing_line_is_a_case_after_the_next_day_and_ends_when_it_arrives() -> None:
    expect(("PAY-1", 1_000), ("PAY-2", 2_000))
    import_lines([Reported("PAY-1", 1_000)])
    assert list_cases() == []  # it may be on tomorrow's statement
    import_lines([], TOMORROW)
    assert list_cases() == [("missing_line", "PAY-2", 2_000, 0)]
    import_lines([Reported("PAY-2", 2_000, later_by=dt.timedelta(hours=-1))], DAY_AFTER)
    # The time of the line is not of that day.
    assert list_cases() == [("day_differs", "PAY-2", 2_000, 2_000)]
    assert SettlementCase.objects.get(kind="missing_line").resolution == "arrived"


def test_an_unknown_line_is_matched_when_the_money_is_posted_later() -> None:
    import_lines([Reported("REF-1", -500, kind="refund")])
    assert list_cases() == [("unknown_line", "REF-1", 0, -500)]
    expect(("REF-1", -500), event=TransferEvent.REFUND_SUCCEEDED)
    import_lines([], TOMORROW)
    assert list_cases() == []
    assert StatementLine.objects.get().state == "matched"


def test_a_payout_is_posted_and_compared_with_its_lines() -> None:
    expect(("PAY-1", 1_000), ("PAY-2", 500))
    import_lines(
        [
            Reported("PAY-1", 1_000, fee_minor=30, payout_no="po_1"),
            Reported("PAY-2", 500, payout_no="po_2"),
            Reported("", -970, kind="payout", payout_no="po_1"),
            Reported("", -400, kind="payout", payout_no="po_2"),
        ]
    )
    assert list_cases() == [("payout_differs", "po_2", -500, -400)]
    (payout,) = LedgerTransfer.objects.filter(event="channel.payout")
    assert payout.entries.get(direction="debit").account.kind == "platform_bank"
    assert payout.entries.get(direction="debit").amount_minor == 970


def test_one_statement_that_fails_stops_no_other() -> None:
    too_much = 2**53 * 100  # eleven of these are more than a bigint
    broken = import_lines(
        [Reported("PAY-1", too_much)] * 11 + [Reported("PAY-2", -too_much)] * 11, settle=False
    )
    good = import_lines([Reported("PAY-3", 100)], TOMORROW, settle=False)
    with pytest.raises(SettlingFailed, match=f"^{broken.id}: bigint out of range$"):
        settle_statements()
    good.refresh_from_db()
    broken.refresh_from_db()
    assert (broken.state, good.state) == ("imported", "posted")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (
            Reported("", -970, kind="payout", payout_no="po_1"),
            Reported("", -900, kind="payout", payout_no="po_1"),
        ),
        (
            Reported("", 0, kind="fee", fee_minor=30, channel_no="fee_1"),
            Reported("", 0, kind="fee", fee_minor=30, channel_no="fee_1"),
        ),
        # Without any number, the movement of the same time.
        (
            Reported("", 0, kind="fee", fee_minor=30),
            Reported("note", 0, kind="fee", fee_minor=30, later_by=dt.timedelta()),
        ),
    ],
)
def test_fees_and_payouts_are_posted_once(first: Reported, again: Reported) -> None:
    import_lines([first])
    import_lines([again], TOMORROW)
    number = again.payout_no or again.channel_no or again.reference
    assert list_cases() == [("duplicate_line", number, 0, again.gross_minor - again.fee_minor)]
    assert LedgerTransfer.objects.count() == 1


def test_a_csv_line_with_the_channels_number_is_a_duplicate() -> None:
    fetched = import_lines([])
    StatementLine.objects.create(
        file=fetched,
        number=1,
        kind="fee",
        gross_minor=0,
        fee_minor=30,
        net_minor=-30,
        currency="USD",
        line_no="txn_1",
        occurred_at=fetched.period_start,
        raw={},
        state="matched",
    )
    import_lines([Reported("", 0, kind="fee", fee_minor=30, channel_no="txn_1")], TOMORROW)
    assert list_cases() == [("duplicate_line", "txn_1", 0, -30)]


def test_another_fee_and_a_returned_payout_are_no_duplicates() -> None:
    import_lines(
        [
            Reported("", -970, kind="payout", payout_no="po_1"),
            Reported("", 970, kind="payout", payout_no="po_1"),
            Reported("", 0, kind="fee", fee_minor=30, payout_no="po_1"),
            Reported("", 0, kind="fee", fee_minor=30, payout_no="po_1"),
        ]
    )
    import_lines([Reported("", 0, kind="fee", fee_minor=30)], TOMORROW)
    assert [case for case in list_cases() if case[0] == "duplicate_line"] == []
