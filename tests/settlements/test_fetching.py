"""Fetched statements: a day that fails delays no other day."""

import datetime as dt
from typing import BinaryIO

import pytest

from channels.base import ChannelAccount, ListingFailed, StatementRequest
from channels.guard import GuardedChannel
from settlements.models import StatementFile, StatementFormat
from settlements.parsers.base import StatementIdentity
from settlements.services.fetching import fetch_missing_days
from settlements.services.importing import record_empty_day
from tests.channels.voucher.channel import VoucherChannel

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
FIRST, DAMAGED, NOT_READY, LAST = (dt.date(2026, 11, day) for day in (24, 25, 26, 27))


class VouchersWithStatements(VoucherChannel):
    """A channel whose statements are empty. Those of two days cannot be read."""

    def write_statement(self, request: StatementRequest, target: BinaryIO) -> bool:
        if request.day == NOT_READY:
            raise ListingFailed("not ready")
        if request.day == DAMAGED:
            target.write(b"kind,amount\n")
            return True
        return False


@pytest.mark.django_db(transaction=True)
def test_a_day_that_fails_delays_no_other() -> None:
    record_empty_day(format=StatementFormat.CSV, identity=StatementIdentity("voucher", "test", None, FIRST))
    served = GuardedChannel(VouchersWithStatements(), ChannelAccount("test"))
    failures: list[str] = []
    assert fetch_missing_days(served, StatementFormat.CSV, NOW, failures) == 1
    assert [failure.split(":")[0] for failure in failures] == [
        f"voucher platform csv {day}" for day in (DAMAGED, NOT_READY)
    ]
    assert set(StatementFile.objects.values_list("day", flat=True)) == {FIRST, LAST}
