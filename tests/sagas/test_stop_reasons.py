"""The engine's own reasons are stored in English, and shown in the reader's language."""

import pytest
from django.utils import translation

from sagas.stop_reasons import (
    CLAIMED_WITHOUT_PROGRESS,
    COMPENSATION_FAILED,
    PAST_PIVOT,
    UNKNOWN_DEFINITION,
    describe_stop_reason,
)

REASONS = [
    (CLAIMED_WITHOUT_PROGRESS % {"count": 6}, "已被领取 6 次，均无进展"),
    (PAST_PIVOT % {"reason": "No.\nNever."}, "已越过不可逆步骤：No.\nNever."),
    (PAST_PIVOT % {"reason": ""}, "已越过不可逆步骤："),
    (
        COMPENSATION_FAILED % {"step": "CallChannel", "reason": "100% no: (b) failed"},
        "CallChannel 补偿失败：100% no: (b) failed",
    ),
    (UNKNOWN_DEFINITION % {"definition": "payment.create", "version": 2}, "没有定义 payment.create 版本 2"),
    # What a step or an earlier release gave.
    ("The channel took 1.00 USD of 2.00 USD", "The channel took 1.00 USD of 2.00 USD"),
    ("", ""),
]


@pytest.mark.parametrize(("stored", "chinese"), REASONS)
def test_the_reason_in_both_languages(stored: str, chinese: str) -> None:
    with translation.override("zh-hans"):
        assert describe_stop_reason(stored) == chinese
    with translation.override("en"):
        assert describe_stop_reason(stored) == stored
