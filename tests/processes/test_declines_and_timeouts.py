"""A payment that the bank declines is rolled back. A missing answer never counts as a decline."""

import os
import signal

import pytest

from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, Reply, Write, payment
from tests.support.processes import (
    IDEMPOTENCY_LEASE_SECONDS,
    RECOVERY_SECONDS,
    RETRY_BASE_SECONDS,
    SWEEP_SECONDS,
    Platform,
    wait_for_death,
)
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

CREATE = "CallPaymentChannel"
# Three retries, each after at most its jittered wait and a sweep; work and a loaded machine on top.
RETRIES_SECONDS = sum(RETRY_BASE_SECONDS * 2**count + SWEEP_SECONDS for count in range(3)) + LOADED_SECONDS
# Created at the bank; neither the creation nor any question about it is ever answered.
SILENT = "no_webhook,timeout_after*always,query:timeout_before*always"


def test_decline(shop: HttpShop, books: Books) -> None:
    write = payment("decline")
    reply = shop.send(write)
    assert (reply.status, reply.json["error_code"]) == (402, "payment_declined")
    _require_rolled_back(books, write, "card_declined")
    assert shop.send(write).body == reply.body


def test_decline_in_a_retry(shop: HttpShop, books: Books) -> None:
    write = payment("decline,timeout_after")
    assert shop.send(write).status == 202
    books.wait_for_saga(write.key, RECOVERY_SECONDS, "compensated")
    _require_rolled_back(books, write, "card_declined")
    assert _final(shop, write).status == 402


def test_payment_without_answer_is_cancelled_at_the_bank(shop: HttpShop, books: Books) -> None:
    """The payment may exist at the bank, so the compensation cancels it there."""
    write = payment(SILENT)
    assert shop.send(write).status == 202
    books.wait_for_saga(write.key, RETRIES_SECONDS, "compensated")
    closed = _require_rolled_back(books, write, "outcome_unknown")
    assert _state_at_bank(books, closed) == "cancelled"
    assert _final(shop, write).status == 402


def test_cancellation_before_the_payment_leaves_a_tombstone(shop: HttpShop, books: Books) -> None:
    write = payment("no_webhook,timeout_before*always")
    assert shop.send(write).status == 202
    books.wait_for_saga(write.key, RETRIES_SECONDS, "compensated")
    closed = _require_rolled_back(books, write, "outcome_unknown")
    assert _state_at_bank(books, closed) == "cancelled"


@pytest.mark.parametrize(
    "point", ["saga.call.after", "saga.outcome.before_commit", "saga.outcome.after_commit"]
)
def test_worker_dies_around_the_commit_of_the_compensation(
    platform: Platform, shop: HttpShop, books: Books, point: str
) -> None:
    """The cancellation at the bank is slow. Meanwhile its caller is armed with the crash point."""
    write = payment(f"{SILENT},cancel:slow:1")
    assert shop.send(write).status == 202
    child = _wait_for_compensation(platform, books, write)
    platform.arm(child, crash_at=f"{point}:{CREATE}")
    wait_for_death(child)
    _require_compensated(shop, books, write)


def test_worker_killed_in_the_call_of_the_compensation(
    platform: Platform, shop: HttpShop, books: Books
) -> None:
    write = payment(f"{SILENT},cancel:slow_start:1.5")
    assert shop.send(write).status == 202
    os.kill(_wait_for_compensation(platform, books, write), signal.SIGKILL)
    _require_compensated(shop, books, write)


@pytest.mark.parametrize("webhook", ["no_webhook", "duplicate_webhook"])
def test_timeout_after_the_charge(shop: HttpShop, books: Books, webhook: str) -> None:
    """With webhooks on, the bank's webhook and the saga's query race each other."""
    write = payment(f"auto_pay,{webhook},timeout_after")
    assert shop.send(write).status == 202
    saga = books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    books.require_terminal(saga["id"], "completed")
    paid = books.require_paid_once(write.body["order_no"])
    again = _final(shop, write)
    assert (again.status, again.data["payment_no"]) == (200, paid["payment_no"])


def test_charge_without_any_further_answer(shop: HttpShop, books: Books) -> None:
    """All retries are used up. The compensation queries first and finds the money, so the payment succeeds."""
    write = payment(f"auto_pay,{SILENT}")
    assert shop.send(write).status == 202
    saga = books.wait_for_saga(write.key, RETRIES_SECONDS, "completed")
    books.require_terminal(saga["id"], "completed")
    books.require_paid_once(write.body["order_no"])
    assert _final(shop, write).data["status"] == "succeeded"


def test_refund_whose_answer_is_lost(shop: HttpShop, books: Books) -> None:
    paid = shop.succeeded_payment("refund:timeout_after")
    write = Write("/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": 4_000})
    assert shop.send(write).status == 202
    saga = books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    books.require_terminal(saga["id"], "completed")
    assert books.ledger(paid["payment_no"])["refund"] == [4_000]
    payment_now = books.payment_by_no(paid["payment_no"])
    assert (payment_now["refunded_minor"], payment_now["refund_pending_minor"]) == (4_000, 0)
    books.require_agreement(payment_now)


def test_declined_refund_releases_its_reservation(shop: HttpShop, books: Books) -> None:
    paid = shop.succeeded_payment("refund_declined,refund:timeout_after")
    write = Write("/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": 4_000})
    assert shop.send(write).status == 202
    books.wait_for_saga(write.key, RECOVERY_SECONDS, "compensated")
    payment_now = books.payment_by_no(paid["payment_no"])
    assert (payment_now["refunded_minor"], payment_now["refund_pending_minor"]) == (0, 0)
    assert "refund" not in books.ledger(paid["payment_no"])
    books.require_agreement(payment_now)
    assert _final(shop, write).status == 402


def _wait_for_compensation(platform: Platform, books: Books, write: Write) -> int:
    """Returns the child process that is cancelling at the bank."""
    saga = wait_until(
        lambda: books.row(
            "SELECT i.lease_owner FROM idempotency_keys k JOIN saga_instances i ON i.id = k.resource_id"
            " JOIN simulator_calls c ON c.operation = 'cancel' AND c.key = i.business_id"
            " WHERE k.key = %s AND i.direction = 'compensating' AND i.lease_owner LIKE '%%:%%'",
            write.key,
        ),
        RETRIES_SECONDS,
        "the compensation",
    )
    child = int(saga["lease_owner"].rpartition(":")[2])
    assert child in platform.worker_children()
    return child


def _require_compensated(shop: HttpShop, books: Books, write: Write) -> None:
    books.wait_for_saga(write.key, RECOVERY_SECONDS, "compensated")
    closed = _require_rolled_back(books, write, "outcome_unknown")
    assert _state_at_bank(books, closed) == "cancelled"
    assert _final(shop, write).status == 402


def _require_rolled_back(books: Books, write: Write, failure_code: str) -> Row:
    """Requires a cancelled order, a failed payment, a compensated saga and no movement of money."""
    closed = books.require_closed_without_money(write.body["order_no"], "failed")
    assert closed["failure_code"] == failure_code
    books.require_terminal(closed["id"], "compensated")
    order = books.row("SELECT status FROM orders WHERE order_no = %s", write.body["order_no"])
    assert order == {"status": "cancelled"}
    return closed


def _state_at_bank(books: Books, payment_row: Row) -> str:
    found = books.row("SELECT state FROM simulator_payments WHERE reference = %s", payment_row["payment_no"])
    assert found is not None
    return str(found["state"])


def _final(shop: HttpShop, write: Write) -> Reply:
    return shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + 2)
