"""A statement that was imported by mistake is voided: its effects are reversed, and the right one is imported."""

import io

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from common.errors import NotPermitted
from ledger.bulk_posting import reverse_transfers
from ledger.models import LedgerTransfer, TransferEntry
from monitoring.integrity.settlements import CHECKS
from settlements.models import (
    SettlementCase,
    SettlementDay,
    StatementExpectation,
    StatementFile,
    StatementFormat,
    StatementLine,
)
from settlements.services.cases import approve_write_off, book_case, dismiss_case, request_write_off
from settlements.services.importing import import_statement
from settlements.services.matching import settle_statement
from settlements.services.voiding import (
    VoidingFailed,
    approve_void,
    request_void,
    void_approved_statements,
)
from tests.settlements.statements import (
    Reported,
    build_csv,
    build_identity,
    expect,
    find_day,
    find_same_person,
    import_lines,
    list_cases,
    read_balances,
)

pytestmark = pytest.mark.django_db


def void(file: StatementFile) -> StatementFile:
    request_void(file_id=file.id, actor="ana", reason="another day's file")
    approve_void(file_id=file.id, actor="ben", reason="seen", find_conflict=find_same_person)
    assert void_approved_statements() == 1
    file.refresh_from_db()
    return file


def read_states() -> dict[str, str]:
    return dict(StatementExpectation.objects.values_list("reference", "state"))


def list_violations() -> list[object]:
    found: list[object] = []
    for check in CHECKS:
        with connection.cursor() as cursor:
            cursor.execute(check.sql, {"since": "2000-01-01T00:00:00Z"})
            found += cursor.fetchall()
    return found


def test_all_effects_of_the_statement_are_reversed_and_the_right_one_is_imported() -> None:
    expect(("PAY-1", 10_000), ("PAY-2", 5_000), ("PAY-3", 700))
    wrong = import_lines(
        [
            Reported("PAY-1", 10_000, fee_minor=300),
            Reported("PAY-2", 4_000, fee_minor=100),
            Reported("PAY-9", 100),
            Reported("", -9_000, kind="payout", payout_no="po_1"),
        ]
    )
    (differing,) = SettlementCase.objects.filter(kind="amount_differs")
    book_case(case_id=differing.id, actor="ana", reason="they are right")
    assert read_balances()["channel_fees"] == 400
    voided = void(wrong)
    assert (voided.state, voided.void_requested_by, voided.void_approved_by) == ("voided", "ana", "ben")
    assert read_balances() == {}
    assert set(StatementLine.objects.values_list("state", flat=True)) == {"voided"}
    # Without a statement the account is not compared any more.
    assert (read_states(), list_cases(), SettlementDay.objects.count()) == ({}, [], 0)
    differing.refresh_from_db()
    assert (differing.resolution, differing.reversed_at is not None) == ("booked", True)
    assert SettlementCase.objects.get(kind="unknown_line").resolution == "voided"
    assert list_violations() == []

    right = import_lines(
        [
            Reported("PAY-1", 10_000, fee_minor=300),
            Reported("PAY-2", 5_000, fee_minor=150),
            Reported("PAY-3", 700),
        ]
    )
    assert (right.state, list_cases()) == ("posted", [])
    assert set(read_states().values()) == {"met"}
    assert read_balances() == {"channel_fees": 450, "channel_receivable": -450}
    assert list_violations() == []


def test_the_same_file_can_be_imported_for_another_day() -> None:
    expect(("PAY-1", 10_000))
    content = build_csv([Reported("PAY-1", 10_000)], find_day())
    wrong_day = build_identity(find_day(1))
    wrong = import_statement(file=io.BytesIO(content), format=StatementFormat.CSV, identity=wrong_day).file
    settle_statement(file_id=wrong.id)
    void(wrong)
    right_day = build_identity(find_day())
    right = import_statement(file=io.BytesIO(content), format=StatementFormat.CSV, identity=right_day)
    settle_statement(file_id=right.file.id)
    assert right.is_new
    assert (read_states(), list_cases()) == ({"PAY-1": "met"}, [])


def test_lines_of_other_statements_are_compared_again() -> None:
    """A line of a later statement is a duplicate while this statement has matched the money. Its fee is a duplicate of
    an earlier statement's."""
    expect(("PAY-1", 3_000), ("PAY-1", 7_000))
    fee = Reported("", 0, kind="fee", fee_minor=9, channel_no="f1")
    of_yesterday = import_lines([fee], -1)
    wrong = import_lines([Reported("PAY-1", 3_000), Reported("PAY-1", 7_000)])
    import_lines([Reported("PAY-1", 10_000), fee], 1)
    assert list_cases() == [("duplicate_line", "PAY-1", 0, 10_000), ("duplicate_line", "f1", 0, -9)]
    void(wrong)
    # Now the later statement's line matches the money, a day too late.
    assert list_cases() == [("day_differs", "PAY-1", 10_000, 10_000), ("duplicate_line", "f1", 0, -9)]
    void(of_yesterday)
    assert list_cases() == [("day_differs", "PAY-1", 10_000, 10_000)]
    assert read_balances() == {"channel_fees": 9, "channel_receivable": -9}
    assert list_violations() == []


def test_a_line_that_matched_together_with_a_voided_line_is_in_a_case() -> None:
    """A line that was unknown and a later line have matched one capture together."""
    import_lines([Reported("PAY-1", 4_000, fee_minor=10)], -1)
    expect(("PAY-1", 10_000))
    wrong = import_lines([Reported("PAY-1", 6_000, fee_minor=20)])
    assert (read_states(), list_cases()) == ({"PAY-1": "met"}, [])
    assert read_balances()["channel_fees"] == 30
    void(wrong)
    assert list_cases() == [("amount_differs", "PAY-1", 10_000, 4_000)]
    assert read_balances() == {"channel_fees": 10, "channel_receivable": -10}
    import_lines([Reported("PAY-1", 10_000)])
    assert list_violations() == []


def test_a_missing_movement_is_expected_again() -> None:
    expect(("PAY-1", 10_000))
    wrong = import_lines([Reported("PAY-8", 100)])
    import_lines([], 1)
    assert [case[0] for case in list_cases()] == ["missing_line", "unknown_line"]
    void(wrong)
    assert list_cases() == []
    import_lines([Reported("PAY-1", 10_000)])
    assert (read_states(), list_cases()) == ({"PAY-1": "met"}, [])


def test_voiding_needs_two_people() -> None:
    expect(("PAY-1", 10_000))
    file = import_lines([Reported("PAY-1", 10_000, fee_minor=300)])
    with pytest.raises(NotPermitted):
        approve_void(file_id=file.id, actor="ben", reason="nobody asked", find_conflict=find_same_person)
    request_void(file_id=file.id, actor="ana", reason="wrong")
    with pytest.raises(NotPermitted, match="the same person"):
        approve_void(file_id=file.id, actor="ana", reason="my own", find_conflict=find_same_person)
    assert void_approved_statements() == 0
    alone = {"void_requested_by": "ana", "void_approved_by": "ana"}
    with pytest.raises(IntegrityError, match="statement_file_voided_by_two"), transaction.atomic():
        StatementFile.objects.filter(id=file.id).update(**alone)
    with pytest.raises(IntegrityError, match="no others"), transaction.atomic():
        StatementLine.objects.filter(file=file).update(state="voided", match=None)
    void(file)
    with pytest.raises(NotPermitted):
        request_void(file_id=file.id, actor="ana", reason="again")
    assert void_approved_statements() == 0


def test_each_transfer_is_reversed_once() -> None:
    expect(("PAY-1", 10_000))
    file = import_lines(
        [Reported("PAY-1", 10_000, fee_minor=300), Reported("", 0, kind="rounding", fee_minor=1)]
    )
    void(file)
    reversed_count = LedgerTransfer.objects.filter(event="statement.voided").count()
    amounts = TransferEntry.objects.filter(transfer__event="statement.voided", direction="debit")
    assert (reversed_count, amounts.aggregate(sum=Sum("amount_minor"))["sum"]) == (2, 301)


def test_only_a_duplicate_can_be_dismissed() -> None:
    expect(("PAY-1", 10_000))
    import_lines([Reported("PAY-1", 10_000, fee_minor=300), Reported("PAY-2", 5)])
    import_lines([Reported("PAY-1", 10_000, fee_minor=300)], 1)
    (duplicate,) = SettlementCase.objects.filter(kind="duplicate_line")
    dismiss_case(case_id=duplicate.id, actor="ana", reason="in both files")
    assert read_balances() == {"channel_fees": 300, "channel_receivable": -300}
    (unknown,) = SettlementCase.objects.filter(kind="unknown_line")
    with pytest.raises(NotPermitted):
        dismiss_case(case_id=unknown.id, actor="ana", reason="go away")
    assert list_violations() == []


def dismiss_duplicates() -> int:
    cases = SettlementCase.objects.filter(kind="duplicate_line").exclude(state="resolved")
    for case in cases:
        dismiss_case(case_id=case.id, actor="ana", reason="in another file")
    return len(cases)


def test_a_dismissed_fee_and_payout_are_posted_once_when_the_line_before_them_is_voided() -> None:
    """Both later statements report them: the lines of the first one are posted now, the others stay dismissed."""
    lines = [
        Reported("", 0, kind="fee", fee_minor=9, channel_no="f1"),
        Reported("", -500, kind="payout", payout_no="po_1"),
    ]
    wrong = import_lines(lines, -1)
    right = import_lines(lines)
    import_lines(lines, 1)
    assert dismiss_duplicates() == 4
    assert list_violations() == []
    void(wrong)
    assert read_balances() == {"channel_fees": 9, "channel_receivable": -509, "platform_bank": 500}
    assert {line.state for line in right.lines.all()} == {"matched"}
    assert list_cases() == []
    dismissed = SettlementCase.objects.filter(resolution="dismissed")
    assert (dismissed.filter(reversed_at=None).count(), dismissed.exclude(reversed_at=None).count()) == (2, 2)
    assert list_violations() == []


def test_a_dismissed_payment_is_compared_again_when_the_line_before_it_is_voided() -> None:
    import_lines([], -1)  # from here on the account is compared
    expect(("PAY-1", 10_000), ("PAY-2", 700))
    lines = [Reported("PAY-1", 10_000, fee_minor=300)]
    wrong = import_lines(lines)
    import_lines(lines, 1)
    import_lines([*lines, Reported("PAY-2", 700), Reported("PAY-2", 700)], 2)
    assert dismiss_duplicates() == 3
    void(wrong)
    # PAY-1 matches a day too late, its other copy needs a decision again, and PAY-2 is not affected.
    assert list_cases() == [
        ("day_differs", "PAY-1", 10_000, 10_000),
        ("day_differs", "PAY-2", 700, 700),
        ("duplicate_line", "PAY-1", 0, 10_000),
    ]
    late = SettlementCase.objects.get(kind="day_differs", reference="PAY-1")
    book_case(case_id=late.id, actor="ana", reason="late")
    assert dismiss_duplicates() == 1
    assert read_balances() == {"channel_fees": 300, "channel_receivable": -300}
    assert list_violations() == []


@pytest.mark.parametrize("is_dismissed", [False, True])
def test_a_duplicate_whose_write_off_was_requested_is_settled_when_the_line_before_it_is_voided(
    is_dismissed: bool,
) -> None:
    """There is nothing left to write off, so the request lapses."""
    import_lines([], -1)  # from here on the account is compared
    expect(("PAY-1", 10_000))
    lines = [
        Reported("PAY-1", 10_000),
        Reported("", 0, kind="fee", fee_minor=9, channel_no="f1"),
        Reported("", -500, kind="payout", payout_no="po_1"),
    ]
    wrong = import_lines(lines)
    import_lines(lines, 1)
    duplicates = list(SettlementCase.objects.filter(kind="duplicate_line"))
    for case in duplicates:
        request_write_off(case_id=case.id, actor="ana", reason="they took it twice")
    assert len(duplicates) == 3
    if is_dismissed:
        dismiss_duplicates()
    void(wrong)
    assert read_balances() == {"channel_fees": 9, "channel_receivable": -509, "platform_bank": 500}
    assert list_cases() == [("day_differs", "PAY-1", 10_000, 10_000)]
    for case in SettlementCase.objects.all():
        with pytest.raises(NotPermitted):
            approve_write_off(case_id=case.id, actor="ben", reason="seen", find_conflict=find_same_person)
    assert list_violations() == []


def test_a_payout_that_is_posted_with_its_case_has_no_second_posting() -> None:
    """The later day was imported first and compared last. Voiding a third statement posts neither of the two."""
    payout = Reported("", -500, kind="payout", payout_no="po_1")
    late = import_lines([payout], 1, settle=False)
    early = import_lines([Reported("PAY-1", 400, payout_no="po_1"), payout], settle=False)
    settle_statement(file_id=early.id)
    settle_statement(file_id=late.id)
    other = import_lines([Reported("PAY-2", 5)], 2)
    waiting = [each[:2] for each in list_cases() if each[1] == "po_1"]
    assert waiting == [("duplicate_line", "po_1"), ("payout_differs", "po_1")]
    void(other)
    assert [each[:2] for each in list_cases() if each[1] == "po_1"] == waiting
    assert read_balances() == {}


def test_lines_are_voided_before_their_postings_are_reversed() -> None:
    """Lines are posted without the account's lock: until they are voided, another process may post more of them."""
    expect(("PAY-1", 10_000))
    file = import_lines([Reported("PAY-1", 10_000, fee_minor=300)])
    with CaptureQueriesContext(connection) as captured:
        void(file)
    statements = [query["sql"] for query in captured]
    (voided,) = [at for at, sql in enumerate(statements) if "SET state = 'voided', match_id = NULL" in sql]
    (read,) = [at for at, sql in enumerate(statements) if '"posted_at" IS NOT NULL' in sql][:1]
    assert voided < read


def test_a_statement_that_cannot_be_voided_stops_no_other() -> None:
    expect(("PAY-1", 10_000))
    broken = import_lines([Reported("PAY-1", 10_000, fee_minor=300)])
    fine = import_lines([Reported("PAY-2", 5)], 1)
    for file in (broken, fine):
        request_void(file_id=file.id, actor="ana", reason="wrong")
        approve_void(file_id=file.id, actor="ben", reason="seen", find_conflict=find_same_person)
    with transaction.atomic():  # as if its fee were reversed already
        reverse_transfers(list(broken.lines.values_list("id", flat=True)))
    with pytest.raises(VoidingFailed, match=str(broken.id)):
        void_approved_statements()
    states = dict(StatementFile.objects.values_list("id", "state"))
    assert states == {broken.id: "posted", fine.id: "voided"}
