"""The details of a case are stored as values, and shown in the reader's language."""

import re

import pytest
from django.contrib import admin
from django.utils import translation

from settlements.case_details import describe_case_detail
from settlements.models import LineKind, SettlementCase
from settlements.services.cases import request_write_off
from settlements.services.voiding import approve_void, request_void, void_approved_statements
from tests.settlements.statements import Reported, expect, find_same_person, import_lines

pytestmark = pytest.mark.django_db

EVERY_VALUE = {
    "line_kind": LineKind.REFUND.value,
    "line_count": 2,
    "expectation_count": 1,
    "channel_no": "42",
    "withdrawn_write_offs": ["安娜"],
}


def describe(case: SettlementCase, language: str = "en") -> list[str]:
    with translation.override(language):
        return describe_case_detail(case.detail)


def test_each_value_in_both_languages() -> None:
    with translation.override("zh-hans"):
        chinese = describe_case_detail(EVERY_VALUE)
    assert len(chinese) == len(EVERY_VALUE)
    assert not [text for text in chinese if re.search(r"[A-Za-z]", text) or not re.search(r"[一-鿿]", text)]


def test_values_of_another_release_are_left_out() -> None:
    with translation.override("en"):
        assert describe_case_detail({"line_kind": "payment", "colour": "blue"}) == ["Payment"]
        assert describe_case_detail({"line_kind": "gift"}) == ["gift"]


def test_the_details_that_matching_stores() -> None:
    expect(("PAY-1", 1_000), ("PAY-2", 500), ("PAY-3", 700))
    import_lines(
        [
            Reported("PAY-1", 900),
            Reported("PAY-3", 700, payout_no="po_1"),
            Reported("", -600, kind="payout", payout_no="po_1"),
        ]
    )
    import_lines([Reported("PAY-3", 700)], 1)
    found = {case.kind: describe(case) for case in SettlementCase.objects.all()}
    assert found == {
        "amount_differs": ["Payment", "Lines: 1", "Expectations: 1"],
        "payout_differs": ["Channel payout"],
        "missing_line": ["Payment"],
        "duplicate_line": ["Payment", "Lines: 1", "Expectations: 0"],
    }
    shown = admin.site._registry[SettlementCase]
    with translation.override("zh-hans"):
        case = SettlementCase.objects.get(kind="amount_differs")
        assert shown.details(case) == "支付<br>明细：1 条<br>应收记录：1 条"  # type: ignore[attr-defined]


def test_the_person_whose_write_off_was_withdrawn() -> None:
    fee = Reported("", 0, kind="fee", fee_minor=9, channel_no="f1")
    wrong = import_lines([fee], -1)
    import_lines([fee])
    case = SettlementCase.objects.get(kind="duplicate_line")
    request_write_off(case_id=case.id, actor="ana", reason="they took it twice")
    request_void(file_id=wrong.id, actor="ana", reason="another day's file")
    approve_void(file_id=wrong.id, actor="ben", reason="seen", find_conflict=find_same_person)
    assert void_approved_statements() == 1
    case.refresh_from_db()
    assert describe(case) == [
        "Fee",
        "Write-off requested by ana, withdrawn when a statement was voided",
    ]
