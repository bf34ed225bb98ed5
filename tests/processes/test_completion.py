"""payment.complete in the crash matrix: a worker that completes an approved payment is killed at each crash point, or
never gets the answer. The bank charges once."""

import uuid

import pytest

from tests.processes.deaths import IN_A_RETRY, Cell, name_point, worker_dies
from tests.processes.flows import PAYMENT_COMPLETE
from tests.support.books import Books, Row
from tests.support.http_shop import HttpShop, Write
from tests.support.processes import RECOVERY_SECONDS, SWEEP_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes


def _read_completion(books: Books, write: Write) -> Row | None:
    payment = books.payment(order_no=write.body["order_no"])
    assert payment is not None
    query = "SELECT * FROM saga_instances WHERE definition = 'payment.complete' AND business_id = %s"
    return books.row(query, payment["payment_no"])


def _await_completion(books: Books, write: Write) -> Row:
    return wait_until(lambda: _read_completion(books, write), LOADED_SECONDS, "the saga that completes it")


def _require_completed(shop: HttpShop, books: Books, write: Write) -> None:
    def is_completed() -> bool:
        saga = _read_completion(books, write)
        return saga is not None and saga["status"] == "completed"

    wait_until(is_completed, RECOVERY_SECONDS + LOADED_SECONDS, "the completion")
    reply = shop.send(write)
    assert (reply.status, reply.data["status"]) == (200, "processing"), "the answer of the creation, replayed"
    PAYMENT_COMPLETE.verify(books, write, reply)


def test_worker_dies_completing(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell
) -> None:
    flow = PAYMENT_COMPLETE
    writes = {point: flow.prepare(shop) for point in IN_A_RETRY}
    spared: list[uuid.UUID] = []
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            with worker_dies(platform, name_point(point, flow), spared, SWEEP_SECONDS + LOADED_SECONDS):
                assert shop.repeat_until_final(write, 0).status == 200
            platform.arm_workers()
            saga = _await_completion(books, write)
            spared.append(saga["id"])
            cell(flow, "forward", "worker", point)
    for point, write in writes.items():
        with subtests.test("recovers", point=point):
            _require_completed(shop, books, write)


def test_answer_of_the_completion_is_lost(
    platform: Platform, shop: HttpShop, books: Books, cell: Cell
) -> None:
    flow = PAYMENT_COMPLETE
    write = flow.prepare(shop)
    platform.arm_workers(lose_answer_of=flow.step)
    assert shop.repeat_until_final(write, 0).status == 200
    saga = _await_completion(books, write)
    query = "SELECT 1 FROM saga_events WHERE saga_id = %s AND outcome = 'unknown' LIMIT 1"
    wait_until(lambda: books.row(query, saga["id"]), SWEEP_SECONDS + LOADED_SECONDS, "the lost answer")
    platform.arm_workers()
    cell(flow, "forward", "worker", "lost")
    _require_completed(shop, books, write)
