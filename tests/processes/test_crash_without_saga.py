"""Commits outside of sagas: the expiry of a payment, a channel update by webhook, and one by query. A real process is
killed before or after each. Beat, the channel or the merchant then repeats it."""

import signal
from typing import Any

import pytest

from tests.processes.deaths import worker_dies
from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, NoAnswer, Write, payment
from tests.support.processes import IDEMPOTENCY_LEASE_SECONDS, RECOVERY_SECONDS, Platform, wait_for_death
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

EXPIRY = ("payment.expiry.before_commit", "payment.expiry.after_commit")
EVENT = ("channel.event.before_commit", "channel.event.after_commit")
SYNC = ("payment.sync.before_commit", "payment.sync.after_commit")
NO_SAGA = (*EXPIRY, *EVENT, *SYNC)
# How often beat looks for unpaid payments; the bank sends again after 1, 2, 4 … seconds.
EXPIRY_SECONDS, RESENT_SECONDS = 5.0, 15.0
AMOUNT = 10_000


def _wait_for_status(books: Books, order_no: str, status: str, seconds: float) -> Row:
    return wait_until(
        lambda: books.row("SELECT * FROM payments WHERE order_no = %s AND status = %s", order_no, status),
        seconds + LOADED_SECONDS,
        f"{order_no} to be {status}",
    )


def test_worker_dies_expiring(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests
) -> None:
    """There is one cancellation, no matter which process starts it, and the payment can no longer be paid."""
    begun = {point: shop.send(payment("no_webhook", amount=AMOUNT)).data for point in EXPIRY}
    for point, opened in begun.items():
        with subtests.test("dies", point=point):
            number = opened["payment_no"]
            with worker_dies(platform, f"{point}:{number}", (), EXPIRY_SECONDS + LOADED_SECONDS):
                assert books.row(
                    "UPDATE payments SET expires_at = now() WHERE payment_no = %s RETURNING id", number
                )
            platform.arm_workers()
    for point, opened in begun.items():
        with subtests.test("recovers", point=point):
            _wait_for_status(books, opened["order_no"], "expired", EXPIRY_SECONDS + RECOVERY_SECONDS)
            books.require_closed_without_money(opened["order_no"], "expired")
            query = (
                "SELECT status FROM saga_instances WHERE definition = 'payment.cancel' AND business_id = %s"
            )
            assert books.rows(query, opened["payment_no"]) == [{"status": "completed"}]


def test_web_worker_dies_over_a_channels_webhook(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests
) -> None:
    """The bank sends the webhook again: it is stored once and applied once. Its sender is frozen at first."""
    begun = {}
    for point in EVENT:
        with subtests.test("dies", point=point):
            platform.worker.signal(signal.SIGSTOP)
            begun[point] = shop.send(payment("auto_pay", amount=AMOUNT)).data
            web = platform.web_worker()
            platform.arm(web, crash_at=f"{point}:{begun[point]['payment_no']}")
            platform.worker.signal(signal.SIGCONT)
            wait_for_death(web)
    for point, paid in begun.items():
        with subtests.test("recovers", point=point):
            number = paid["payment_no"]
            query = "SELECT id FROM channel_events WHERE reference = %s AND type = 'payment.paid'"
            wait_until(
                lambda query=query, number=number: books.row(query, number),
                RESENT_SECONDS + LOADED_SECONDS,
                f"the bank's webhook for {number}",
            )
            books.require_paid_once(paid["order_no"])


def _sync(opened: dict[str, Any]) -> Write:
    number = opened["payment_no"]
    return Write(f"/api/v1/payments/{number}/sync", {}, key=f"sync-{number}")


def test_web_worker_dies_taking_over_what_the_bank_answers(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests
) -> None:
    """POST …/sync of a payment that was paid without our knowledge."""
    points = ("idempotency.claim.before_commit", "idempotency.claim.after_commit", *SYNC)
    script = "auto_pay,processing:0.1,no_webhook"
    begun = {point: shop.send(payment(script, amount=AMOUNT)).data for point in points}
    paid = "SELECT 1 FROM simulator_payments WHERE reference = %s AND state = 'paid'"
    for point, opened in begun.items():
        with subtests.test("dies", point=point):
            number = opened["payment_no"]
            wait_until(lambda number=number: books.row(paid, number), LOADED_SECONDS, f"{number} to be paid")
            web = platform.web_worker()
            platform.arm(web, crash_at=point)
            with pytest.raises(NoAnswer):
                shop.send(_sync(opened))
            wait_for_death(web)
    for point, opened in begun.items():
        with subtests.test("recovers", point=point):
            sync = _sync(opened)
            reply = shop.repeat_until_final(sync, IDEMPOTENCY_LEASE_SECONDS)
            assert (reply.status, reply.data["status"]) == (200, "succeeded")
            assert shop.send(sync).body == reply.body
            books.require_paid_once(opened["order_no"])
