"""Integrity checks compare our payments with the records of the sandbox servers of WeChat Pay and Alipay."""

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection, transaction

from monitoring import sandbox_books
from monitoring.integrity.registry import find_check
from monitoring.integrity.search import NO_BOOKS, find_violations
from tests.support.alipay.bank import alipay_bank, connect
from tests.support.shop import create, data, paid, refund
from tests.support.signing import SignedClient
from tests.support.wechat_sandbox import wechat_sandbox

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

CHANNELS = ("wechat", "alipay")


@pytest.fixture(params=CHANNELS)
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def reference(client: SignedClient, channel: str) -> str:
    """A payment of 10,000 with a refund of 4,000, stored as if the channel had served it."""
    payment = paid(client)
    refund(client, payment, 4_000)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in ("payments", "payment_attempts"):
            cursor.execute(f"UPDATE {table} SET channel = %s, sandbox = false", [channel])
    return str(payment["payment_no"])


def find(channel: str, *entries: dict[str, Any]) -> list[str]:
    """Returns the violations that the check finds when the sandbox's records are these."""
    now = dt.datetime.now(dt.UTC).isoformat()
    books = NO_BOOKS | {channel: json.dumps([{"last_at": now, **entry} for entry in entries])}
    check = find_check(f"{channel}_sandbox_agrees")
    with connection.cursor() as cursor:
        found, _count = find_violations(cursor, check, grace=dt.timedelta(0), books=books)
    return [violation.detail for violation in found]


def test_equal_books_pass(channel: str, reference: str) -> None:
    assert find(channel, {"reference": reference, "taken": 10_000, "refunded": 4_000}) == []


@pytest.mark.parametrize(
    ("taken", "refunded"), [(9_999, 4_000), (10_000, 4_001), (10_000, 0), (20_000, 4_000)]
)
def test_other_amounts_are_found(channel: str, reference: str, taken: int, refunded: int) -> None:
    found = find(channel, {"reference": reference, "taken": taken, "refunded": refunded})
    assert found == [f"the sandbox took {taken} and refunded {refunded}, our payment says 10000 and 4000"]


def test_money_that_only_one_side_knows_is_found(channel: str, reference: str) -> None:
    unknown = {"reference": "PAY-unknown", "taken": 5, "refunded": 0}
    assert sorted(find(channel, unknown)) == [
        "our payment took 10000, the sandbox nothing",
        "the sandbox took 5 and refunded 0, our payment says nothing",
    ]


def test_without_a_sandbox_nothing_is_compared(channel: str, reference: str) -> None:
    with connection.cursor() as cursor:
        assert find_violations(cursor, find_check(f"{channel}_sandbox_agrees"))[0] == []


def test_the_books_of_a_running_sandbox_are_read(settings: Any) -> None:
    assert sandbox_books.read_sandbox_books() == NO_BOOKS
    with wechat_sandbox() as sandbox:
        settings.WECHAT_API_BASE = sandbox.url
        assert sandbox_books.read_sandbox_books()["wechat"] == "[]"
    assert sandbox_books.read_sandbox_books()["wechat"] is None, "the sandbox has ended"


def test_payments_at_alipay_have_our_numbers_in_its_books(client: SignedClient, settings: Any) -> None:
    """Alipay itself has our payment numbers without hyphens."""
    with alipay_bank() as bank:
        connect(settings, bank)
        payment = data(create(client, channel="alipay", payment_method="alipay_qr", currency="CNY"))
        bank.pay(payment["payment_no"])
        (entry,) = json.loads(sandbox_books.read_sandbox_books()["alipay"] or "[]")
        assert (entry["reference"], entry["taken"], entry["refunded"]) == (payment["payment_no"], 10_000, 0)
