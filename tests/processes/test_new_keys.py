"""Calls under new keys, on a platform of real processes: a worker is killed before and after the commit of a new key,
and a query resolves a cancellation whose answer was lost."""

import uuid

import pytest

from tests.processes.deaths import worker_dies
from tests.processes.flows import AMOUNT, PART, REFUND
from tests.processes.test_crash_points import ALL_RETRIES_SECONDS, FIRST_RETRY_SECONDS
from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.processes import RECOVERY_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

POINTS = ("saga.new_call.before_commit", "saga.new_call.after_commit")


def test_worker_dies_around_the_commit_of_a_new_key(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests
) -> None:
    """The bank keeps a 500 under the first key of each refund. The refund is made once, here and at the bank."""
    paid = {point: shop.succeeded_payment("refund:error_5xx_kept", amount=AMOUNT) for point in POINTS}
    writes = {
        point: Write("/api/v1/refunds", {"payment_no": one["payment_no"], "amount": PART})
        for point, one in paid.items()
    }
    spared: list[uuid.UUID] = []
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            with worker_dies(platform, f"{point}:{REFUND}", spared, FIRST_RETRY_SECONDS):
                assert shop.send(write).status == 202
            platform.arm_workers()
            spared.append(books.require_saga(write.key)["id"])
    for point, write in writes.items():
        with subtests.test("recovers", point=point):
            books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
            saga = books.require_saga(write.key)
            step = books.row(
                "SELECT call_number FROM saga_steps WHERE saga_id = %s AND step_name = %s", saga["id"], REFUND
            )
            assert step == {"call_number": 2}
            assert books.ledger(paid[point]["payment_no"]) == {"charge": [AMOUNT], "refund": [PART]}
            books.require_agreement(books.payment_by_no(paid[point]["payment_no"]))


def test_a_lost_cancel_of_what_the_customer_has_submitted(shop: HttpShop, books: Books) -> None:
    """The bank is processing the customer's payment, and the answer to the cancellation is lost. The query reports that
    nothing was cancelled, so the cancellation is refused for good, and the authorized amount can be captured."""
    held = shop.send(payment("no_webhook,cancel:timeout_after", amount=AMOUNT, capture_method="manual")).data
    # The customer submits on the bank's page, and no webhook has come yet.
    submits = (
        "UPDATE simulator_payments SET state = 'processing', settles_at = now() + interval '8 s'"
        " WHERE reference = %s RETURNING reference"
    )
    assert books.row(submits, held["payment_no"])
    cancel = Write(f"/api/v1/payments/{held['payment_no']}/cancel", {"reason": "it takes too long"})
    assert shop.send(cancel).status == 202
    refused = shop.repeat_until_final(cancel, ALL_RETRIES_SECONDS + RECOVERY_SECONDS)
    assert (refused.status, refused.json["error_code"]) == (409, "payment_not_cancellable")
    sync = f"/api/v1/payments/{held['payment_no']}/sync"
    wait_until(
        lambda: shop.send(Write(sync, {})).data["status"] == "authorized",
        20 + LOADED_SECONDS,
        "the bank to hold the money",
    )
    captured = shop.send(Write(f"/api/v1/payments/{held['payment_no']}/capture", {}))
    assert (captured.status, captured.data["status"]) == (200, "succeeded")
    books.require_agreement(books.payment_by_no(held["payment_no"]))
