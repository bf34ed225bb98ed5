"""Balances over the API and in the tables, before and after a rollup."""

import pytest
from django.db import connection

from ledger.balances import roll_up
from ledger.models import DailyBalance, RollupQueueItem
from tests.support.auditing import _audited  # noqa: F401
from tests.support.shop import Body, data, error, paid, refund
from tests.support.signing import SignedClient
from tests.support.statements import cost
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

BALANCE, TRANSACTIONS = "/api/v1/balance", "/api/v1/balance-transactions"


def balance(client: SignedClient) -> tuple[list[Body], list[Body]]:
    answer = data(client.get(BALANCE))
    return answer["available"], answer["pending"]


def usd(amount: int) -> list[Body]:
    return [{"amount": amount, "currency": "USD"}]


def test_a_balance_is_exact_before_and_after_the_rollup(client: SignedClient) -> None:
    assert balance(client) == ([], [])
    payment = paid(client, "refund_pending:600")
    data(refund(client, payment, 4_000))
    before = balance(client)
    assert before == (usd(6_000), usd(4_000))
    assert roll_up() == 2
    assert balance(client) == before
    paid(client)
    assert balance(client) == (usd(16_000), usd(4_000)), (
        "the row of the day and the rows of the queue are added up"
    )
    assert roll_up() == 1
    assert roll_up() == 0
    assert balance(client) == (usd(16_000), usd(4_000))


def test_each_currency_has_its_own_amounts(client: SignedClient) -> None:
    paid(client)
    paid(client, currency="JPY", amount=500)
    assert balance(client)[0] == [{"amount": 500, "currency": "JPY"}, *usd(10_000)]


def test_rollups_at_the_same_time_add_up_once(client: SignedClient) -> None:
    for _ in range(3):
        paid(client)
    assert sum(at_once(*[roll_up] * 4)) == 3
    assert not RollupQueueItem.objects.exists()
    assert sum(row.entry_count for row in DailyBalance.objects.all()) == 6


def test_a_rollup_that_fails_loses_nothing(client: SignedClient) -> None:
    paid(client)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE ledger_daily_balances ADD CONSTRAINT broken CHECK (entry_count > 1)")
    try:
        with pytest.raises(Exception, match="broken"):
            roll_up()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE ledger_daily_balances DROP CONSTRAINT broken")
    assert balance(client) == (usd(10_000), [{"amount": 0, "currency": "USD"}])
    assert roll_up() == 1


def test_balance_transactions_are_listed_newest_first(client: SignedClient) -> None:
    payment = paid(client)
    created_refund = data(refund(client, payment, 4_000))
    listed = data(client.get(TRANSACTIONS))["items"]
    assert [(row["type"], row["source"], row["amount"], row["fee"], row["net"]) for row in listed] == [
        ("refund", created_refund["refund_no"], -4_000, 0, -4_000),
        ("payment", payment["payment_no"], 10_000, 0, 10_000),
    ]
    (only,) = data(client.get(f"{TRANSACTIONS}?type=payment"))["items"]
    assert only == listed[1]
    first = data(client.get(f"{TRANSACTIONS}?limit=1"))
    second = data(client.get(f"{TRANSACTIONS}?limit=1&cursor={first['next_cursor']}"))
    assert [*first["items"], *second["items"]] == listed
    assert second["next_cursor"] is None


@pytest.mark.parametrize("query", ["type=gift", "limit=0", "cursor=zz", "surprise=1"])
def test_a_wrong_query_names_its_parameter(client: SignedClient, query: str) -> None:
    details = error(client.get(f"{TRANSACTIONS}?{query}"), 400, "validation_failed")
    assert query.split("=", maxsplit=1)[0] in str(details)


def test_tenants_see_only_their_own(
    client: SignedClient, other_client: SignedClient, live_client: SignedClient
) -> None:
    paid(client)
    for stranger in (other_client, live_client):
        assert balance(stranger) == ([], [])
        assert data(stranger.get(TRANSACTIONS))["items"] == []


def test_a_page_costs_two_statements_however_long(client: SignedClient) -> None:
    def count(limit: int) -> int:
        with cost() as found:
            data(client.get(f"{TRANSACTIONS}?limit={limit}"))
        return len(found.statements)

    for _ in range(3):
        paid(client)
    count(1)  # fills caches
    assert count(1) == count(3)
