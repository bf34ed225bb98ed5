"""A stopped worker finishes the work in flight and claims nothing more (SIGTERM sets the same event)."""

import threading
from collections.abc import Sequence

import pytest

from common.claim_loop import Claimed, ClaimLoop
from tests.support.threads import in_background
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_stop_waits_for_the_work_in_flight() -> None:
    stop, begun, may_end = threading.Event(), threading.Event(), threading.Event()
    claims, done = [], []

    def claim(_in_flight: Sequence[str], _free: int) -> Claimed[str]:
        claims.append(len(claims))
        return Claimed([f"item {len(claims)}"])

    def work(item: str) -> None:
        begun.set()
        assert may_end.wait(PATIENCE_SECONDS)
        done.append(item)

    loop = ClaimLoop[str](name="drained", places=1, claim=claim, work=work, poll_seconds=PATIENCE_SECONDS)
    running = in_background(lambda: loop.run(stop))
    assert begun.wait(PATIENCE_SECONDS)
    stop.set()
    loop.wake()
    assert not running.done()
    assert done == []
    may_end.set()
    running.result(PATIENCE_SECONDS)
    assert (claims, done) == ([0], ["item 1"])
