"""A statement of some hundred movements with planted errors: each is found once, and nothing else."""

import datetime as dt
from dataclasses import replace

import pytest
from django.db import connection

from ledger.models import LedgerTransfer, TransferEvent
from monitoring.integrity import registry
from monitoring.integrity.search import find_violations
from settlements.models import ChannelFeeRate, StatementLine
from tests.settlements.statements import CHANNEL, Reported, expect, import_lines, list_cases

pytestmark = pytest.mark.django_db

PAYMENTS, REFUNDS = 300, 30
CHECKS = (
    "statement_lines_settled",
    "statements_add_up",
    "statements_agree_with_ledger",
    "statements_agree_with_payouts",
)


def build_lines() -> dict[str, Reported]:
    lines = {}
    for number in range(PAYMENTS):
        amount = 1_000 + number
        fee = (amount * 29 + 500) // 1000 + 30
        lines[f"PAY-{number}"] = Reported(f"PAY-{number}", amount, fee_minor=fee)
    for number in range(REFUNDS):
        lines[f"REF-{number}"] = Reported(f"REF-{number}", -100, kind="refund")
    return lines


def test_each_planted_error_is_found_and_nothing_else() -> None:
    ChannelFeeRate.objects.create(
        channel=CHANNEL,
        environment="test",
        kind="payment",
        currency="USD",
        rate_millionths=29_000,
        fixed_minor=30,
        valid_from="2026-01-01",
    )
    lines = build_lines()
    expect(*((line.reference, line.gross_minor) for line in lines.values() if line.kind == "payment"))
    expect(
        *((line.reference, line.gross_minor) for line in lines.values() if line.kind == "refund"),
        event=TransferEvent.REFUND_SUCCEEDED,
    )
    next_day = [lines.pop("PAY-7")]  # a shifted day
    del lines["PAY-11"]  # a missing line
    lines["PAY-13"] = replace(lines["PAY-13"], fee_minor=lines["PAY-13"].fee_minor + 2)  # a wrong fee
    lines["PAY-17"] = replace(lines["PAY-17"], currency="EUR")  # another currency
    lines["REF-3"] = replace(lines["REF-3"], gross_minor=-101)  # another amount
    reported = [*lines.values(), lines["PAY-19"], Reported("PAY-unknown", 5)]  # a doubled and an unknown line
    import_lines(reported)
    import_lines([replace(line, later_by=dt.timedelta(days=1)) for line in next_day], 1)
    assert sorted(case[:2] for case in list_cases()) == [
        ("amount_differs", "REF-3"),
        ("currency_differs", "PAY-17"),
        ("day_differs", "PAY-7"),
        ("duplicate_line", "PAY-19"),
        ("fee_differs", "PAY-13"),
        ("missing_line", "PAY-11"),
        ("unknown_line", "PAY-unknown"),
    ]
    matched = StatementLine.objects.filter(state="matched", fee_minor__gt=0)
    assert LedgerTransfer.objects.filter(event="channel.fee").count() == matched.count()
    with connection.cursor() as cursor:
        for name in CHECKS:
            assert find_violations(cursor, registry.find_check(name)) == ([], 0), name
