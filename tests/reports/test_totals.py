"""Daily totals and balances, read from the daily balances of the ledger."""

import datetime as dt
from typing import Any

import pytest
from django.db import connection

from ledger import reporting
from ledger.balances import roll_up
from ledger.chart import FEE_KINDS, MERCHANT_KINDS
from ledger.chart import LedgerAccountKind as Kind
from ledger.reporting import TotalsQuery, read_daily_totals, read_day_end_balances
from merchants.services import NewMerchant
from tests.reports.conftest import DAY, book
from tests.support.fixtures import new_merchant
from tests.support.shop import data, paid, refund
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

NEXT = DAY + dt.timedelta(days=1)
AFTER = DAY + dt.timedelta(days=2)
WEEK = TotalsQuery(start=DAY, end=DAY + dt.timedelta(days=7))


def test_the_totals_of_a_day(acme: NewMerchant) -> None:
    book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=10_000)
    book(acme, DAY, Kind.PAYOUTS, debit=400, credit=100)
    book(acme, DAY, Kind.REFUNDS, debit=2_000, credit=500)
    book(acme, DAY, Kind.DISPUTES, debit=700)
    book(acme, DAY, Kind.APPLICATION_FEES, debit=60)
    book(acme, DAY, Kind.PLATFORM_FEES, debit=30)
    book(None, DAY, Kind.FEE_INCOME, credit=90)
    book(None, DAY, Kind.CHANNEL_FEES, debit=40)
    own, merchants = read_daily_totals(WEEK)
    assert (own.merchant_id, own.fee_income_minor, own.channel_fees_minor, own.net_minor) == (None, 90, 40, 0)
    assert (merchants.day, merchants.merchant_id, merchants.channel) == (DAY, acme.merchant.pk, "simulator")
    assert (merchants.payments_minor, merchants.paid_out_minor, own.captures) == (10_000, 300, 0)
    assert (merchants.refunds_minor, merchants.disputes_minor, merchants.fees_minor) == (1_500, 700, 90)
    assert (merchants.net_minor, merchants.other_minor) == (10_000 - 300 - 1_500 - 700 - 90, 0)


def test_a_kind_of_account_without_a_column_is_in_other(
    acme: NewMerchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "MERCHANT_KINDS", (*MERCHANT_KINDS, Kind.ROUNDING))
    book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=100)
    book(acme, DAY, Kind.ROUNDING, debit=1)
    (only,) = read_daily_totals(WEEK)
    assert (only.payments_minor, only.other_minor, only.net_minor) == (100, -1, 99)


def test_totals_are_narrowed_and_ordered(acme: NewMerchant) -> None:
    other = new_merchant(name="Other")
    book(acme, NEXT, Kind.MERCHANT_PAYABLE, credit=1)
    book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=2, currency="JPY")
    book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=3, channel="stripe")
    book(other, DAY, Kind.MERCHANT_PAYABLE, credit=4)
    book(other, WEEK.end, Kind.MERCHANT_PAYABLE, credit=5)

    def found(**filters: Any) -> list[int]:
        query = TotalsQuery(start=WEEK.start, end=WEEK.end, **filters)
        return [row.payments_minor for row in read_daily_totals(query)]

    assert sorted(found()) == [1, 2, 3, 4]
    assert found()[-1] == 1, "the totals are ordered by day"
    assert found(currency="JPY") == [2]
    assert found(channel="stripe") == [3]
    assert found(merchant_id=other.merchant.pk) == [4]
    assert found(environment="live") == []
    assert len(found(limit=2)) == 2


def test_balances_at_the_end_of_each_day(acme: NewMerchant) -> None:
    book(acme, DAY - dt.timedelta(days=40), Kind.MERCHANT_PAYABLE, credit=10_000)
    book(acme, NEXT, Kind.REFUNDS, debit=1_000, pending=200)
    book(acme, WEEK.end, Kind.REFUNDS, debit=1)
    found = [
        (row.day, row.posted_minor, row.reserved_minor, row.available_minor)
        for row in read_day_end_balances(TotalsQuery(start=DAY, end=DAY + dt.timedelta(days=3)))
    ]
    assert found == [(DAY, 10_000, 0, 10_000), (NEXT, 9_000, 200, 8_800), (AFTER, 9_000, 200, 8_800)]


def test_reports_agree_with_the_balance_of_the_api(client: SignedClient) -> None:
    """The balances come from real payments, refunds and disputes."""
    payment = paid(client, "refund_pending:600")
    data(refund(client, payment, 4_000))
    paid(client, currency="JPY", amount=500)
    roll_up()
    days = TotalsQuery(start=dt.date(2026, 1, 1), end=dt.date(9999, 1, 1))
    moved = {
        row.currency: (row.payments_minor, row.net_minor, row.captures)
        for row in read_daily_totals(days)
        if row.merchant_id
    }
    assert moved == {"USD": (10_000, 10_000, 1), "JPY": (500, 500, 1)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(day) FROM ledger_daily_balances")
        (last,) = cursor.fetchone()
    found = read_day_end_balances(TotalsQuery(start=last, end=last + dt.timedelta(days=1)))
    available = data(client.get("/api/v1/balance"))["available"]
    assert {row.currency: row.available_minor for row in found} == {
        row["currency"]: row["amount"] for row in available
    }


def test_totals_of_a_day_read_no_other_days(acme: NewMerchant) -> None:
    """400 days of 50 accounts: 20,000 rows, of which a day has 50."""
    for number in range(50):
        book(acme, DAY, Kind.MERCHANT_PAYABLE, credit=1, channel=f"channel-{number}")
    with without_triggers() as cursor:
        cursor.execute(
            "INSERT INTO ledger_daily_balances (account_id, day, posted_debit_minor, posted_credit_minor,"
            " pending_debit_minor, pending_credit_minor, entry_count)"
            " SELECT account_id, day - number, 0, 1, 0, 0, 1"
            " FROM ledger_daily_balances, generate_series(1, 399) AS number"
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ledger_daily_balances")
        cursor.execute("ANALYZE ledger_accounts")
        statement = reporting._TOTALS.format(filters="true")
        kinds = [kind.value for kind in MERCHANT_KINDS]
        fee_kinds = [kind.value for kind in FEE_KINDS]
        cursor.execute(
            f"EXPLAIN (FORMAT TEXT) {statement}",
            {"start": DAY, "end": NEXT, "limit": None, "merchant_kinds": kinds, "fee_kinds": fee_kinds},
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "ledger_daily_balance_by_day" in plan, plan
    assert len(list(read_daily_totals(TotalsQuery(start=DAY, end=NEXT)))) == 50
