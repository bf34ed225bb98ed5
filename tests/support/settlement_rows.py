"""Creates a row of each model of settlements: an empty statement and its expectations."""

import datetime as dt

from ledger.models import TransferEntry
from settlements.models import (
    ChannelFeeRate,
    SettlementCase,
    SettlementDay,
    StatementExpectation,
    StatementFile,
    StatementLine,
)

PLACE = {"channel": "stripe", "environment": "test"}
DAY = dt.date(2026, 1, 1)
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def leave_a_statement() -> None:
    """Requires an entry of the ledger, such as that of a paid payment."""
    file = StatementFile.objects.create(
        **PLACE,
        sha256="0" * 64,
        content_sha256="0" * 64,
        format="csv",
        day=DAY,
        period_start=NOON,
        period_end=NOON + dt.timedelta(days=1),
        line_count=1,
        totals={},
    )
    case = SettlementCase.objects.create(
        **PLACE,
        kind="unknown_line",
        currency="USD",
        expected_minor=0,
        reported_minor=1,
        reported_currency="USD",
    )
    StatementLine.objects.create(
        file=file,
        number=1,
        kind="payment",
        gross_minor=1,
        fee_minor=0,
        net_minor=1,
        currency="USD",
        occurred_at=NOON,
        raw={},
        state="in_case",
        case=case,
    )
    SettlementDay.objects.create(**PLACE, day=DAY, currency="USD")
    ChannelFeeRate.objects.create(
        **PLACE, kind="payment", currency="USD", rate_millionths=29_000, valid_from=DAY
    )
    entry = TransferEntry.objects.order_by("id").first()
    if entry is not None:
        StatementExpectation.objects.create(
            **PLACE,
            entry=entry,
            kind="payment",
            currency="USD",
            amount_minor=entry.amount_minor,
            occurred_at=NOON,
            expected_by=NOON + dt.timedelta(days=3),
        )
