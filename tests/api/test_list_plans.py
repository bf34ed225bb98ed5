"""Every list of the API reads little more than its page, with every filter (issue 11, C5).

The test counts rows and blocks, not time. To run it over a million rows and see the time of each statement:

    LIST_ROWS=1000000 ./scripts/test.sh tests/api/test_list_plans.py -n 0 -s
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from tests.support import shop
from tests.support.long_lists import RARE, fill
from tests.support.plans import blocks_of, looked_at, require_no_table_is_read_through, scans
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient
from webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

ROWS, LIMIT = int(os.environ.get("LIST_ROWS", "20000")), 20
# A list may be split into at most eight statuses, each of which is read by itself; then the page's rows are read.
MOST_ROWS, MOST_BLOCKS = 9 * (LIMIT + 1), 400
API = "/api/v1"


def requests_of(middle: str) -> Iterator[tuple[str, str, int]]:
    """Yields the table, the address, and the number of rows in the answer."""
    for table, path, rare in (
        ("payments", "payments", "status=authorized"),
        ("refunds", "refunds", "status=failed"),
        ("disputes", "disputes", "status=lost"),
        ("ledger_transfers", "balance-transactions", "type=dispute"),
        ("merchant_statements", "statements", "period=month"),
        ("orders", "orders", "status=cancelled"),
        ("outbox_events", "events", "type=payment.expired"),
        ("webhook_deliveries", "webhook-deliveries", "status=cancelled"),
    ):
        for query in (
            "",
            f"created_to={middle}",
            f"created_from={middle}&created_to={middle}",
        ):
            yield table, f"{path}?{query}", LIMIT if "from" not in query else 0
        yield table, f"{path}?{rare}", RARE
        yield table, f"{path}?{rare}&created_to={middle}", RARE
        yield table, f"{path}?{rare}&created_from={middle}", 0
    for query, count in (
        ("channel=rare", RARE),
        ("channel=even", LIMIT),
        ("channel=nowhere", 0),
        ("channel=odd&status=failed", 0),
        ("channel=even&status=failed", LIMIT),
        (f"channel=even&created_to={middle}", LIMIT),
        ("status=expired", 0),
        ("order_no=LONG-5&status=succeeded", 1),
    ):
        yield "payments", f"payments?{query}", count
    yield "refunds", "refunds?payment_no=PAY-LONG-5", 1
    yield "disputes", "disputes?payment_no=PAY-LONG-5", 1
    yield "outbox_events", "events?subject=PAY-LONG-5", 1


@contextmanager
def selects_from(table: str) -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.lstrip("( ").startswith("SELECT") and f'FROM "{table}"' in sql:
            found.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield found


def test_a_list_reads_little_more_than_its_page(client: SignedClient, subtests: pytest.Subtests) -> None:
    payment = shop.paid(client)
    shop.data(shop.refund(client, payment, 100))
    leave_one_of_each()
    fill(ROWS)
    endpoint_id = WebhookDelivery.objects.earliest("created_at").endpoint_id
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_char(now() - interval '10000 s', 'YYYY-MM-DD\"T\"HH24:MI:SS')")
        middle = cursor.fetchone()[0] + "%2B00:00"
    requests = [
        *requests_of(middle),
        ("webhook_deliveries", f"webhook-deliveries?endpoint_id={endpoint_id}", LIMIT),
        ("webhook_deliveries", f"webhook-deliveries?endpoint_id={endpoint_id}&status=cancelled", RARE),
        ("webhook_deliveries", f"webhook-deliveries?endpoint_id={endpoint_id}&created_to={middle}", LIMIT),
    ]
    for table, address, count in requests:
        with subtests.test(address.replace(middle, "…")):
            with selects_from(table) as statements:
                answer = shop.data(client.get(f"{API}/{address}"))
            assert len(answer["items"]) == count
            assert statements
            found = [node for sql, params in statements for node in scans(sql, params)]
            ours = [node for node in found if node["Relation Name"] == table]
            spent = sum(node["Actual Total Time"] * node["Actual Loops"] for node in ours)
            print(f"{spent:8.3f} ms {looked_at(ours, table):6.0f} rows {blocks_of(ours):5} blocks  {address}")
            require_no_table_is_read_through(ours)
            assert looked_at(ours, table) <= MOST_ROWS, ours
            assert blocks_of(ours) <= MOST_BLOCKS, ours
    with subtests.test("a page in the middle"):
        first = shop.data(client.get(f"{API}/payments?created_to={middle}"))
        with selects_from("payments") as statements:
            further = shop.data(client.get(f"{API}/payments?channel=even&cursor={first['next_cursor']}"))
        assert len(further["items"]) == LIMIT
        assert not {row["payment_no"] for row in further["items"]} & {
            row["payment_no"] for row in first["items"]
        }
        found = [node for sql, params in statements for node in scans(sql, params)]
        assert looked_at(found, "payments") <= MOST_ROWS, found
