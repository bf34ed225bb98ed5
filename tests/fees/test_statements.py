"""Statements of days and months: they add up, follow each other and never change, and their files agree with them."""

import base64
import csv
import datetime as dt
import hashlib
import io
import re
import zlib
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from fees.models import MerchantStatement
from fees.services.statements import close_statements, open_statement_lines
from ledger.balances import roll_up
from ledger.models import DailyClose
from merchants.models import Merchant
from tests.gateway.test_channel_accounts import add_account
from tests.support.fee_plans import give_plan
from tests.support.fixtures import NewMerchant
from tests.support.shop import Body, data, error, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

STATEMENTS = "/api/v1/statements"
FIRST, SECOND, THIRD = dt.date(2026, 3, 30), dt.date(2026, 3, 31), dt.date(2026, 4, 1)


def move_to(day: dt.date) -> None:
    """Moves what was posted today to this day, past every trigger."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE ledger_transfers SET day = %(day)s, created_at = %(day)s::timestamp AT TIME ZONE 'UTC'"
            " + (created_at - date_trunc('day', created_at, 'UTC')) WHERE day > '2026-05-01'",
            {"day": day},
        )


def close(*days: dt.date, currency: str = "USD") -> None:
    for day in days:
        DailyClose.objects.create(
            day=day,
            environment="test",
            currency=currency,
            transfer_count=0,
            posted_minor=0,
            entries_digest="",
            chain_digest=f"{day}",
            signature="",
        )


@pytest.fixture
def _three_days(client: SignedClient) -> None:
    """A payment of 100.00 with a fee of 3.20, a refund of 40.00 on the next day, a capture of 5.00 a month later."""
    give_plan()
    payment = paid(client)
    move_to(FIRST)
    data(refund(client, payment, 4_000))
    move_to(SECOND)
    paid(client, amount=500)
    move_to(THIRD)
    roll_up()


def listed(client: SignedClient, query: str = "") -> list[Body]:
    items: list[Body] = data(client.get(f"{STATEMENTS}?limit=100{query}"))["items"]
    return sorted(items, key=lambda each: (each["period"], each["first_day"]))


@pytest.mark.usefixtures("_three_days")
def test_statements_follow_each_other(client: SignedClient, other_client: SignedClient) -> None:
    close(FIRST, SECOND, THIRD)
    assert close_statements() == 4
    assert close_statements() == 0
    found = [
        (
            each["first_day"],
            each["last_day"],
            each["opening_balance"],
            each["payments"],
            each["refunds"],
            each["fees"],
            each["closing_balance"],
        )
        for each in listed(client)
    ]
    assert found == [
        ("2026-03-30", "2026-03-30", 0, 10_000, 0, -320, 9_680),
        ("2026-03-31", "2026-03-31", 9_680, 0, -4_000, 128, 5_808),
        ("2026-04-01", "2026-04-01", 5_808, 500, 0, -45, 6_263),
        ("2026-03-01", "2026-03-31", 0, 10_000, -4_000, -192, 5_808),
    ]
    assert data(client.get("/api/v1/balance"))["available"] == [{"amount": 6_263, "currency": "USD"}]
    assert [each["period"] for each in listed(client, "&period=month")] == ["month"]
    assert listed(other_client) == []
    assert MerchantStatement.objects.get(period="month").close_digest == "2026-03-31"


@pytest.mark.usefixtures("_three_days")
def test_a_day_waits_for_its_close_and_for_the_rollup(client: SignedClient) -> None:
    assert close_statements() == 0
    close(FIRST)
    assert close_statements() == 1
    paid(client)
    move_to(SECOND)
    close(SECOND)
    assert close_statements() == 0, "of this day one transfer is not added up"
    roll_up()
    assert close_statements() == 2


@pytest.mark.usefixtures("_three_days")
def test_a_run_that_was_interrupted_is_completed(client: SignedClient, other_client: SignedClient) -> None:
    paid(other_client)
    move_to(FIRST)
    roll_up()
    close(FIRST)
    assert close_statements() == 2
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "DELETE FROM merchant_statements WHERE merchant_id = %s", [Merchant.objects.get(name="Other").id]
        )
    assert close_statements() == 1


@pytest.mark.usefixtures("_three_days")
def test_the_csv_file_has_every_transaction_and_its_digest(client: SignedClient) -> None:
    close(FIRST, SECOND)
    close_statements()
    month = listed(client, "&period=month")[0]
    answer = client.get(month["files"]["csv"])
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    content = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    assert hashlib.sha256(content).hexdigest() == month["csv_sha256"]
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    shown = [(row["event"], row["amount"], row["fee"], row["net"], row["balance"]) for row in rows]
    assert shown == [
        ("opening_balance", "", "", "", "0.00"),
        ("payment.captured", "100.00", "-3.20", "96.80", "96.80"),
        ("refund.succeeded", "-40.00", "1.28", "-38.72", "58.08"),
        ("closing_balance", "", "", "", "58.08"),
    ]


@pytest.mark.usefixtures("_three_days")
def test_a_slow_reader_holds_no_transaction(client: SignedClient) -> None:
    """The file is complete before it is sent. The cursor ends with its transaction, so that a pooler can be used."""
    close(FIRST)
    close_statements()
    answer = client.get(listed(client)[0]["files"]["csv"])
    assert int(answer["Content-Length"]) == len(b"".join(answer.streaming_content))  # type: ignore[attr-defined]
    with open_statement_lines(MerchantStatement.objects.get()) as lines:
        assert next(lines).amount_minor == 10_000
        with connection.cursor() as cursor:
            cursor.execute("SELECT is_holdable FROM pg_cursors")
            assert cursor.fetchall() == [(False,)]


@pytest.mark.usefixtures("_three_days")
def test_the_csv_file_says_who_holds_the_money(client: SignedClient, acme: NewMerchant) -> None:
    for merchant_id in (None, acme.merchant.pk):
        add_account(merchant_id)
        paid(client)
    move_to(FIRST)
    roll_up()
    close(FIRST)
    close_statements()
    with open_statement_lines(MerchantStatement.objects.get()) as lines:
        assert sorted(line.is_own_account for line in lines) == [False, False, True]


@pytest.mark.usefixtures("_three_days")
def test_the_pdf_file_prints_chinese(client: SignedClient) -> None:
    Merchant.objects.update(name="北京<测试>公司")
    close(FIRST)
    close_statements()
    (day,) = listed(client)
    answer = client.get(day["files"]["pdf"])
    assert (answer["Content-Type"], answer.content[:5]) == ("application/pdf", b"%PDF-")
    assert b"STSong-Light" in answer.content
    content = b"".join(texts_of(answer.content))
    for text in ("北京", "<", "测试", "公司", "期末余额"):
        assert text.encode("utf-16-be") in content


def texts_of(pdf: bytes) -> list[bytes]:
    """Returns the text of the pages, with escapes resolved. Texts are in UTF-16."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        page = zlib.decompress(base64.a85decode(b"<~" + stream.strip(), adobe=True))
        found.append(
            re.sub(
                rb"\\(\d{3}|.)",
                lambda match: bytes([int(match[1], 8)]) if match[1].isdigit() else match[1],
                page,
            )
        )
    return found


@pytest.mark.usefixtures("_three_days")
def test_a_statement_never_changes(client: SignedClient) -> None:
    close(FIRST)
    close_statements()
    for change in (
        lambda rows: rows.update(closing_minor=1, opening_minor=1),
        lambda rows: rows.delete(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change(MerchantStatement.objects.all())


@pytest.mark.usefixtures("_three_days")
def test_strangers_get_no_file(
    client: SignedClient, other_client: SignedClient, live_client: SignedClient
) -> None:
    close(FIRST)
    close_statements()
    (day,) = listed(client)
    for stranger in (other_client, live_client):
        for address in day["files"].values():
            error(stranger.get(address), 404, "not_found")


@pytest.mark.parametrize("query", ["period=year", "limit=0", "surprise=1"])
def test_a_wrong_query_names_its_parameter(client: SignedClient, query: str) -> None:
    details: Any = error(client.get(f"{STATEMENTS}?{query}"), 400, "validation_failed")
    assert query.split("=", maxsplit=1)[0] in str(details)
