"""payout.run in the crash matrix: the process of the staff, a worker or Celery is killed at each crash point, and
others resume the run. It ends once, with one stored file and one posting, or nothing is sent and the money is payable
again.

Each test first kills all its processes and then waits for all recoveries, because the leases expire together.
"""

import contextlib
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest

from tests.processes.deaths import CLAIM_OF_SAGA, worker_dies
from tests.processes.payouts import (
    RUN_SECONDS,
    PayableMerchant,
    PayoutDesk,
    find_run_ids,
    open_desk,
    require_not_sent,
    require_sent_once,
    sign_up_merchants,
    wait_for_approval,
    wait_for_end,
)
from tests.support.books import Books
from tests.support.processes import Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

CREATION = ("payout_run.create.before_commit", "payout_run.create.after_commit")
SCHEDULE = "payout_run.schedule.before_commit"
APPROVAL = ("payout_run.approve.before_commit", "payout_run.approve.after_commit")
OUTCOME = ("saga.outcome.before_commit", "saga.outcome.after_commit")
RESUMED = (*CLAIM_OF_SAGA, *OUTCOME)
PAYOUT_POINTS = (*CREATION, SCHEDULE, *APPROVAL)
# No call is made in this saga, so that its commits have no step's name.
Count = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def desk(running_platform: Platform) -> Iterator[PayoutDesk]:
    with open_desk(running_platform) as desk:
        yield desk


@contextlib.contextmanager
def _frozen_workers(platform: Platform) -> Iterator[None]:
    """Keeps workers from resuming a run before the desk does, which would then not be killed."""
    platform.worker.signal(signal.SIGSTOP)
    yield
    platform.worker.signal(signal.SIGCONT)


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Count:
    """Counts a cell of the matrix: the direction, the kind of process, and the point."""

    def count_cell(direction: str, process: str, point: str) -> None:
        record_property("crash_cell", ["payout.run", "", direction, process, point])

    return count_cell


def _create_run(desk: PayoutDesk, merchant: PayableMerchant) -> str:
    run_id: str = desk.do("create_run", merchant_id=merchant.id, currency=merchant.currency)
    return run_id


def _finish(desk: PayoutDesk, books: Books, merchant: PayableMerchant, run_id: str) -> None:
    wait_for_approval(books, run_id)
    desk.do("approve_run", run_id=run_id)
    _require_sent(books, merchant, run_id)


def _require_sent(books: Books, merchant: PayableMerchant, run_id: str) -> None:
    wait_for_end(books, run_id, "completed")
    require_sent_once(books, merchant, run_id)


def test_desk_dies_creating_a_run(
    platform: Platform, books: Books, desk: PayoutDesk, subtests: pytest.Subtests, count: Count
) -> None:
    points = (*CREATION, *OUTCOME)
    merchants = dict(zip(points, sign_up_merchants(platform, desk, "SEK", len(points)), strict=True))
    for point, merchant in merchants.items():
        with subtests.test("dies", point=point):
            desk.die_at(point, "create_run", merchant_id=merchant.id, currency="SEK")
            is_lost = point == "payout_run.create.before_commit"
            assert len(find_run_ids(books, merchant)) == (0 if is_lost else 1)
            if is_lost:
                _create_run(desk, merchant)
            count("forward", "desk", point)
    for point, merchant in merchants.items():
        with subtests.test("recovers", point=point):
            (run_id,) = find_run_ids(books, merchant)
            _finish(desk, books, merchant, run_id)


def test_desk_dies_approving_a_run(
    platform: Platform, books: Books, desk: PayoutDesk, subtests: pytest.Subtests, count: Count
) -> None:
    points = (*APPROVAL, *RESUMED)
    merchants = dict(zip(points, sign_up_merchants(platform, desk, "NOK", len(points)), strict=True))
    run_ids = {point: _create_run(desk, merchant) for point, merchant in merchants.items()}
    with _frozen_workers(platform):
        for point, run_id in run_ids.items():
            with subtests.test("dies", point=point):
                desk.die_at(point, "approve_run", run_id=run_id)
                count("forward", "desk", point)
    for point, merchant in merchants.items():
        with subtests.test("recovers", point=point):
            (run_id,) = find_run_ids(books, merchant)
            if point == "payout_run.approve.before_commit":
                _finish(desk, books, merchant, run_id)
            else:
                _require_sent(books, merchant, run_id)


def test_worker_dies_exporting_a_run(
    platform: Platform, books: Books, desk: PayoutDesk, subtests: pytest.Subtests, count: Count
) -> None:
    """The desk is killed after the approval is committed, so that a worker resumes the run and is killed too."""
    merchants = dict(zip(RESUMED, sign_up_merchants(platform, desk, "DKK", len(RESUMED)), strict=True))
    spared: list[uuid.UUID] = []
    for point, merchant in merchants.items():
        with subtests.test("dies", point=point):
            run_id = _create_run(desk, merchant)
            with worker_dies(platform, point, spared, RUN_SECONDS):
                desk.die_at("payout_run.approve.after_commit", "approve_run", run_id=run_id)
            platform.arm_workers()
            spared.append(uuid.UUID(run_id))
            count("forward", "worker", point)
    for point, merchant in merchants.items():
        with subtests.test("recovers", point=point):
            (run_id,) = find_run_ids(books, merchant)
            _require_sent(books, merchant, run_id)


def test_desk_dies_rejecting_a_run(
    platform: Platform, books: Books, desk: PayoutDesk, subtests: pytest.Subtests, count: Count
) -> None:
    merchants = dict(zip(RESUMED, sign_up_merchants(platform, desk, "CHF", len(RESUMED)), strict=True))
    run_ids = {point: _create_run(desk, merchant) for point, merchant in merchants.items()}
    with _frozen_workers(platform):
        for point, run_id in run_ids.items():
            with subtests.test("dies", point=point):
                desk.die_at(point, "reject_run", run_id=run_id)
                count("compensating", "desk", point)
    _require_rejected(books, desk, subtests, merchants)


def test_worker_dies_rejecting_a_run(
    platform: Platform, books: Books, desk: PayoutDesk, subtests: pytest.Subtests, count: Count
) -> None:
    """The rejection is committed, and the desk is killed before it claims the saga, so that a worker claims it."""
    merchants = dict(zip(RESUMED, sign_up_merchants(platform, desk, "CZK", len(RESUMED)), strict=True))
    spared: list[uuid.UUID] = []
    for point, merchant in merchants.items():
        with subtests.test("dies", point=point):
            run_id = _create_run(desk, merchant)
            with worker_dies(platform, point, spared, RUN_SECONDS):
                desk.die_at("saga.claim.before_commit", "reject_run", run_id=run_id)
            platform.arm_workers()
            spared.append(uuid.UUID(run_id))
            count("compensating", "worker", point)
    _require_rejected(books, desk, subtests, merchants)


def _require_rejected(
    books: Books, desk: PayoutDesk, subtests: pytest.Subtests, merchants: Mapping[str, PayableMerchant]
) -> None:
    """Nothing is sent, and the money is payable again: the next run sends it once."""
    for point, merchant in merchants.items():
        with subtests.test("recovers", point=point):
            (rejected,) = find_run_ids(books, merchant)
            wait_for_end(books, rejected, "compensated")
            require_not_sent(books, rejected)
            _finish(desk, books, merchant, _create_run(desk, merchant))


def test_celery_worker_dies_creating_the_runs_of_the_schedule(
    platform: Platform, books: Books, desk: PayoutDesk, count: Count
) -> None:
    """Redis delivers the task again, and beat sends another one: there is one run of the day."""
    (merchant,) = sign_up_merchants(platform, desk, "PLN", 1)
    desk.do("pay_daily", merchant_id=merchant.id)
    with worker_dies(platform, SCHEDULE, (), LOADED_SECONDS):
        desk.do("send_schedule")
    assert find_run_ids(books, merchant) == []
    count("forward", "celery", SCHEDULE)
    platform.arm_workers()
    for _time in range(2):
        desk.do("send_schedule")
    (run_id,) = wait_until(lambda: find_run_ids(books, merchant), LOADED_SECONDS, "the run of the schedule")
    desk.do("adopt_run", run_id=run_id)
    _finish(desk, books, merchant, run_id)
    assert find_run_ids(books, merchant) == [run_id]
