"""Kills a real process at every crash point of every flow, forward and compensating, in web and Celery workers. Other
processes resume the saga, and the integrity checks find no error in our tables and the bank's.

The matrix is flows × points × modes; its size is printed at the end of the run. A new flow is a row in `flows.py`. A
new point is a name here; the last test fails without it. Each test first kills all its processes and then waits for all
recoveries, because the leases expire at the same time. Workers that are armed spare the sagas that are recovering, so
that each kill meets the saga that it is meant for.
"""

import re
import signal
import uuid

import pytest

from scripts.local.config import ROOT
from tests.processes.deaths import CLAIM_OF_SAGA, IN_A_RETRY, OF_A_STEP, Cell, name_point, worker_dies
from tests.processes.flows import FLOWS, LONG_FLOWS, PAYMENT_ROLLED_BACK, Flow
from tests.processes.test_crash_without_saga import NO_SAGA
from tests.processes.test_payout_runs import PAYOUT_POINTS
from tests.support.books import Books
from tests.support.http_shop import HttpShop, NoAnswer, Write
from tests.support.processes import (
    IDEMPOTENCY_LEASE_SECONDS,
    LEASE_SECONDS,
    RECOVERY_SECONDS,
    RETRY_BASE_SECONDS,
    SWEEP_SECONDS,
    Platform,
    wait_for_death,
)
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

# The claim of the key and the first rows of the flow are one commit.
CLAIM_OF_KEY = ("idempotency.claim.before_commit", "idempotency.claim.after_commit")

NOTHING_WRITTEN = "idempotency.claim.before_commit"
IN_A_REQUEST = CLAIM_OF_KEY + OF_A_STEP
FIRST_RETRY_SECONDS = RETRY_BASE_SECONDS + SWEEP_SECONDS + LOADED_SECONDS
# Three retries, each after at most its jittered wait and a sweep.
ALL_RETRIES_SECONDS = (
    sum(RETRY_BASE_SECONDS * 2**count + SWEEP_SECONDS for count in range(3)) + LOADED_SECONDS
)
# The second death has to wait for the lease of the first.
DEATH_AFTER_LEASE_SECONDS = LEASE_SECONDS + SWEEP_SECONDS + LOADED_SECONDS


def _web_dies(platform: Platform, shop: HttpShop, write: Write, point: str) -> None:
    web = platform.web_worker()
    platform.arm(web, crash_at=point)
    with pytest.raises(NoAnswer):
        shop.send(write)
    wait_for_death(web)


def test_web_worker_dies(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell, flow: Flow
) -> None:
    writes = {point: flow.prepare(shop) for point in IN_A_REQUEST}
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            _web_dies(platform, shop, write, name_point(point, flow))
            assert (books.key(write.key) is None) == (point == NOTHING_WRITTEN)
            cell(flow, "forward", "web", point)
    for point, write in writes.items():
        with subtests.test("recovers", point=point):
            if point != NOTHING_WRITTEN:
                books.wait_for_saga(write.key, RECOVERY_SECONDS, flow.ends)
            _require_final_answer(shop, books, flow, write)


def test_celery_worker_dies_in_the_retry(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell, flow: Flow
) -> None:
    """The web process loses the answer. One child of the Celery worker is killed in the retry, the others finish it."""
    writes = {point: flow.prepare(shop) for point in IN_A_RETRY}
    platform.arm(platform.web_worker(), lose_answer_of=flow.step)
    spared: list[uuid.UUID] = []
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            with worker_dies(platform, name_point(point, flow), spared, FIRST_RETRY_SECONDS):
                assert shop.send(write).status == 202
            platform.arm_workers()
            spared.append(books.require_saga(write.key)["id"])
            cell(flow, "forward", "celery", point)
    for point, write in writes.items():
        with subtests.test("recovers", point=point):
            books.wait_for_saga(write.key, RECOVERY_SECONDS, flow.ends)
            _require_final_answer(shop, books, flow, write)


def test_celery_worker_dies_compensating(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell
) -> None:
    """A compensation is claimed again only after a worker was killed in it: for those points, two are killed."""
    flow = PAYMENT_ROLLED_BACK
    writes = {point: flow.prepare(shop) for point in IN_A_RETRY}
    spared: list[uuid.UUID] = []
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            first = "saga.call.before" if point in CLAIM_OF_SAGA else point
            with worker_dies(platform, name_point(first, flow, "compensating"), spared, ALL_RETRIES_SECONDS):
                assert shop.send(write).status == 202
            if point in CLAIM_OF_SAGA:
                with worker_dies(platform, point, spared, DEATH_AFTER_LEASE_SECONDS):
                    pass
            platform.arm_workers()
            spared.append(books.require_saga(write.key)["id"])
            cell(flow, "compensating", "celery", point)
    _require_all(shop, books, subtests, writes)


def test_web_worker_dies_compensating(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell
) -> None:
    """The merchant cancels a payment in doubt and repeats its creation. The web worker that compensates it is killed.
    Celery is frozen meanwhile."""
    flow = PAYMENT_ROLLED_BACK
    for process in (platform.beat, platform.worker):
        process.signal(signal.SIGSTOP)
    writes = {point: flow.prepare(shop) for point in IN_A_RETRY}
    cancels = {point: _cancel(shop.send(write).data["payment_no"]) for point, write in writes.items()}
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            assert shop.send(cancels[point]).status == 202
            _web_dies_repeating(platform, shop, write, name_point(point, flow, "compensating"))
            cell(flow, "compensating", "web", point)
    for process in (platform.worker, platform.beat):
        process.signal(signal.SIGCONT)
    for point, cancel in cancels.items():
        with subtests.test("recovers", point=point):
            reply = shop.repeat_until_final(cancel, IDEMPOTENCY_LEASE_SECONDS + RECOVERY_SECONDS)
            assert reply.data["status"] == "cancelled"
            closed = books.require_closed_without_money(writes[point].body["order_no"], "cancelled")
            books.require_terminal(closed["id"], "compensated")


def _cancel(payment_no: str) -> Write:
    return Write(f"/api/v1/payments/{payment_no}/cancel", {"reason": "it takes too long"})


def _web_dies_repeating(platform: Platform, shop: HttpShop, write: Write, point: str) -> None:
    """Repeats the request until the lease of the first one has expired: the repetition resumes the saga."""
    web = platform.web_worker()
    platform.arm(web, crash_at=point)

    def dies() -> bool:
        try:
            assert shop.send(write).status == 409
        except NoAnswer:
            return True
        return False

    wait_until(dies, IDEMPOTENCY_LEASE_SECONDS + LOADED_SECONDS, "the armed web worker to die", interval=0.1)
    wait_for_death(web)


def test_answer_is_lost(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell
) -> None:
    """The call succeeds but looks like a timeout: the answer is 202, and the Celery worker queries the outcome."""
    writes = [(flow, flow.prepare(shop)) for flow in (*FLOWS, *LONG_FLOWS)]
    for flow, write in writes:
        with subtests.test("lost", flow=flow.name):
            platform.arm(platform.web_worker(), lose_answer_of=flow.step)
            assert shop.send(write).status == 202
            cell(flow, "forward", "web", "lost")
    for flow, write in writes:
        with subtests.test("found", flow=flow.name):
            books.wait_for_saga(write.key, RECOVERY_SECONDS, flow.ends)
            _require_final_answer(shop, books, flow, write)


def test_answer_is_lost_in_the_retry(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell
) -> None:
    """The web process loses the answer, and so does the Celery worker until it is disarmed."""
    writes = [(flow, flow.prepare(shop)) for flow in FLOWS]
    for flow, write in writes:
        with subtests.test("lost", flow=flow.name):
            platform.arm(platform.web_worker(), lose_answer_of=flow.step)
            platform.arm_workers(lose_answer_of=flow.step)
            assert shop.send(write).status == 202
            _wait_for_attempts(books, write, "forward", 2)
            platform.arm_workers()
            books.wait_for_saga(write.key, ALL_RETRIES_SECONDS, flow.ends)
            _require_final_answer(shop, books, flow, write)
            cell(flow, "forward", "celery", "lost")


def test_answer_of_the_compensation_is_lost(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, cell: Cell
) -> None:
    flow = PAYMENT_ROLLED_BACK
    write = flow.prepare(shop)
    platform.arm_workers(lose_answer_of=f"{flow.step}:compensating")
    assert shop.send(write).status == 202
    _wait_for_attempts(books, write, "compensating", 1)
    platform.arm_workers()
    cell(flow, "compensating", "celery", "lost")
    _require_all(shop, books, subtests, {"lost": write})


def _wait_for_attempts(books: Books, write: Write, direction: str, count: int) -> None:
    query = (
        "SELECT 1 FROM idempotency_keys k JOIN saga_events e ON e.saga_id = k.resource_id"
        " WHERE k.key = %s AND e.direction = %s AND e.outcome = 'unknown' HAVING count(*) >= %s"
    )
    wait_until(
        lambda: books.row(query, write.key, direction, count), ALL_RETRIES_SECONDS, f"{count} lost answers"
    )


def _require_all(shop: HttpShop, books: Books, subtests: pytest.Subtests, writes: dict[str, Write]) -> None:
    for point, write in writes.items():
        with subtests.test("recovers", point=point):
            books.wait_for_saga(write.key, ALL_RETRIES_SECONDS + RECOVERY_SECONDS, "compensated")
            _require_final_answer(shop, books, PAYMENT_ROLLED_BACK, write)


def _require_final_answer(shop: HttpShop, books: Books, flow: Flow, write: Write) -> None:
    reply = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + 2)
    saga = books.require_saga(write.key)
    books.require_terminal(saga["id"], flow.ends)
    flow.verify(books, write, reply)
    key = books.key(write.key)
    assert key is not None
    assert (key["state"], key["response_status"]) == ("completed", reply.status)
    assert bytes(key["response_body"]) == reply.body
    again = shop.send(write)
    assert (again.status, again.body, again.headers["Idempotent-Replayed"]) == (
        reply.status,
        reply.body,
        "true",
    )
    flow.verify(books, write, again)
    flow.verify_at_channel(shop, again)


def test_no_crash_point_is_left_out() -> None:
    found = set()
    for package in {file.parent for file in ROOT.glob("*/__init__.py")} - {ROOT / "tests"}:
        for source in package.rglob("*.py"):
            found |= set(re.findall(r"crash\.reach\(\s*\"([^\"]+)\"", source.read_text()))
    elsewhere = {
        "webhook.call.before",  # these two: tests/webhooks_out/test_worker.py
        "webhook.call.after",
        "export.chunk.before_commit",  # these two: tests/office_access/test_exports.py
        "export.chunk.after_commit",
        "refund_approval.before_commit",  # these two: tests/office/test_refund_approval.py
        "refund_approval.after_commit",
        "report.delivered",  # tests/reports/test_scheduled.py
        "saga.new_call.before_commit",  # these two: test_new_keys.py
        "saga.new_call.after_commit",
    }
    assert found == {*CLAIM_OF_KEY, *CLAIM_OF_SAGA, *OF_A_STEP, *NO_SAGA, *PAYOUT_POINTS, *elsewhere}
