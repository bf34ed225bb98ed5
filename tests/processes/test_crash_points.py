"""Every named crash point, on the way of a request and on the way of a retry: a real process dies there, others
carry on, and then the platform's tables and the bank's books say the same.

The table is flows × points. A new flow is a row in `flows.py`; a new point is a name here, which the last test
demands.
"""

import re

import pytest

from scripts.local.config import ROOT
from tests.processes.flows import FLOWS, PAYMENT_CREATE, PAYMENT_DECLINED, REFUND_CREATE, Flow
from tests.support.books import Books
from tests.support.http_shop import HttpShop, NoAnswer, Write
from tests.support.processes import (
    IDEMPOTENCY_LEASE_SECONDS,
    RECOVERY_SECONDS,
    RETRY_BASE_SECONDS,
    SWEEP_SECONDS,
    Platform,
    is_alive,
    wait_for_death,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.processes

# The claim of the key and the first rows of the flow are one commit.
CLAIM_OF_KEY = ("idempotency.claim.before_commit", "idempotency.claim.after_commit")
CLAIM_OF_SAGA = ("saga.claim.before_commit", "saga.claim.after_commit")
# The intent is committed before the call, the outcome after it; these take the step's name.
OF_A_STEP = ("saga.call.before", "saga.call.after", "saga.outcome.before_commit", "saga.outcome.after_commit")

NOTHING_WRITTEN = "idempotency.claim.before_commit"
IN_A_REQUEST = CLAIM_OF_KEY + OF_A_STEP
IN_A_RETRY = CLAIM_OF_SAGA + OF_A_STEP
# A retry is the engine's alone, the same for every flow: these bring success, refusal and a pivot.
RETRIED = (PAYMENT_CREATE, PAYMENT_DECLINED, REFUND_CREATE)


def _armed(point: str, flow: Flow) -> str:
    return f"{point}:{flow.step}" if point in OF_A_STEP else point


def _ends(flow: Flow) -> str:
    return "compensated" if flow is PAYMENT_DECLINED else "completed"


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_web_worker_dies(
    platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests, flow: Flow
) -> None:
    """All points first, then all recoveries: they wait for their leases together."""
    writes = {point: flow.prepare(shop) for point in IN_A_REQUEST}
    for point, write in writes.items():
        with subtests.test("dies", point=point):
            web = platform.web_worker()
            platform.arm(web, crash_at=_armed(point, flow))
            with pytest.raises(NoAnswer):
                shop.send(write)
            wait_for_death(web)
            assert (books.key(write.key) is None) == (point == NOTHING_WRITTEN)
    for point, write in writes.items():
        with subtests.test("recovers", point=point):
            if point != NOTHING_WRITTEN:
                books.wait_for_saga(write.key, RECOVERY_SECONDS, _ends(flow))
            _require_final_answer(shop, books, flow, write)


@pytest.mark.parametrize("point", IN_A_RETRY)
@pytest.mark.parametrize("flow", RETRIED, ids=str)
def test_celery_worker_dies_in_the_retry(
    platform: Platform, shop: HttpShop, books: Books, flow: Flow, point: str
) -> None:
    """The web process loses the answer; one child of the Celery worker dies retrying, the other finishes."""
    write = flow.prepare(shop)
    platform.arm(platform.web_worker(), lose_answer_of=flow.step)
    children = platform.worker_children()
    for child in children:
        platform.arm(child, crash_at=_armed(point, flow))
    assert shop.send(write).status == 202
    first_retry = RETRY_BASE_SECONDS + SWEEP_SECONDS + 2
    victim = wait_until(lambda: [pid for pid in children if not is_alive(pid)], first_retry, "a child to die")
    for survivor in set(children) - set(victim):
        platform.arm(survivor)
    books.wait_for_saga(write.key, RECOVERY_SECONDS, _ends(flow))
    _require_final_answer(shop, books, flow, write)


def test_answer_is_lost(platform: Platform, shop: HttpShop, books: Books, subtests: pytest.Subtests) -> None:
    """The call happened and is reported as a timeout: 202, and the Celery worker finds out."""
    writes = [(flow, flow.prepare(shop)) for flow in FLOWS]
    for flow, write in writes:
        with subtests.test("lost", flow=flow.name):
            platform.arm(platform.web_worker(), lose_answer_of=flow.step)
            assert shop.send(write).status == 202
    for flow, write in writes:
        with subtests.test("found", flow=flow.name):
            books.wait_for_saga(write.key, RECOVERY_SECONDS, _ends(flow))
            _require_final_answer(shop, books, flow, write)


def _require_final_answer(shop: HttpShop, books: Books, flow: Flow, write: Write) -> None:
    reply = shop.repeat_until_final(write, IDEMPOTENCY_LEASE_SECONDS + 2)
    saga = books.saga_of_key(write.key)
    assert saga is not None
    books.require_terminal(saga["id"], _ends(flow))
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


def test_no_crash_point_is_left_out() -> None:
    found = set()
    for app in ("sagas", "idempotency", "gateway", "orders", "events"):
        for source in (ROOT / app).rglob("*.py"):
            found |= set(re.findall(r"crash\.reach\(\s*\"([^\"]+)\"", source.read_text()))
    assert found == {*CLAIM_OF_KEY, *CLAIM_OF_SAGA, *OF_A_STEP}
