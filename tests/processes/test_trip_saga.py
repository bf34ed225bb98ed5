"""Real workers are killed in steps that wait for a signal and in parallel calls. Afterwards `trip_effects` has each
effect once, and the integrity checks find nothing."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from django.conf import settings

from scripts.local.postgres import connect
from tests.processes.deaths import worker_dies
from tests.support.books import TERMINAL, Books, Row
from tests.support.processes import LEASE_SECONDS, RECOVERY_SECONDS, SWEEP_SECONDS, Platform
from tests.support.trip_saga import CONFIRMATION, CONTINUES_ON_TIMEOUT, EFFECTS_TABLE, FAILS_ON_TIMEOUT
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

CLAIM = ("saga.claim.before_commit", "saga.claim.after_commit")
# Commits without the outcome of a call: the local step with the intents, the signal, the timeout.
WITHOUT_CALL = ("saga.outcome.before_commit::forward", "saga.outcome.after_commit::forward")
OF_A_CALL = ("saga.call.before", "saga.call.after", "saga.outcome.before_commit", "saga.outcome.after_commit")
CONFIRM = ("trip.confirm.before_commit", "trip.confirm.after_commit")
DEATH_SECONDS = LEASE_SECONDS + SWEEP_SECONDS + LOADED_SECONDS

BOOKED = {("ReserveSeats", "forward"), ("BookHotel", "forward"), ("BookTrain", "forward")}
COMPENSATED = {(step, "compensating") for step, _ in BOOKED}
CONFIRMED, PAID = {("WaitForConfirmation", "forward")}, {("PayAgency", "forward")}


class Trips:
    """Starts trip sagas, confirms them and reads their effects."""

    def __init__(self, platform: Platform, books: Books) -> None:
        self.platform, self.books = platform, books
        self.killed_in: list[uuid.UUID] = []
        options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        broker = f"redis://{platform.cache}/0"
        self._celery = Celery(broker=broker, broker_transport_options=options, set_as_current=False)

    def close(self) -> None:
        self._celery.close()

    def start(self, name: str = FAILS_ON_TIMEOUT, *, refused_step: str = "") -> uuid.UUID:
        saga_id = uuid.uuid4()
        self._send("trip.start", name, str(saga_id), refused_step)
        return saga_id

    def confirm(self, saga_id: uuid.UUID) -> None:
        wait_until(lambda: self.books.saga(saga_id), LOADED_SECONDS, f"trip {saga_id}")
        self._send("trip.confirm", str(saga_id))

    def _send(self, task: str, *arguments: str) -> None:
        self._celery.send_task(task, arguments, queue=settings.CELERY_TASK_DEFAULT_QUEUE)

    def start_waiting(self, name: str, points: tuple[str, ...]) -> dict[str, uuid.UUID]:
        """Starts one saga for each crash point, and waits until all of them wait for their signal."""
        started = {point: self.start(name) for point in points}
        for saga_id in started.values():
            wait_until(lambda saga_id=saga_id: self._is_waiting(saga_id), DEATH_SECONDS, f"{saga_id} to wait")
        return started

    def _is_waiting(self, saga_id: uuid.UUID) -> Row | None:
        query = "SELECT 1 FROM saga_instances WHERE id = %s AND waiting_for = %s AND lease_expires_at IS NULL"
        return self.books.row(query, saga_id, CONFIRMATION)

    def end_wait(self, saga_id: uuid.UUID) -> None:
        query = (
            "UPDATE saga_instances SET waiting_until = now() WHERE id = %s AND waiting_for <> '' RETURNING id"
        )
        assert self.books.row(query, saga_id)

    def kill_worker(self, point: str, saga_id: uuid.UUID, resume: Callable[[uuid.UUID], None]) -> None:
        """Kills the worker that `resume` brings to the crash point, and no later one."""
        with worker_dies(self.platform, point, self.killed_in, DEATH_SECONDS):
            resume(saga_id)
        self.platform.arm_workers()
        self.killed_in.append(saga_id)

    def require_end(self, saga_id: uuid.UUID, status: str, effects: set[tuple[str, str]]) -> None:
        wait_until(lambda: self._is_over(saga_id), RECOVERY_SECONDS + LOADED_SECONDS, f"the end of {saga_id}")
        self.books.require_terminal(saga_id, status)
        rows = self.books.rows("SELECT step, direction FROM trip_effects WHERE saga_id = %s", saga_id)
        assert Counter((row["step"], row["direction"]) for row in rows) == dict.fromkeys(effects, 1)

    def require_one_confirmation(self, saga_id: uuid.UUID) -> None:
        taken = self.books.rows("SELECT taken_by FROM saga_signals WHERE saga_id = %s", saga_id)
        assert [row["taken_by"] for row in taken] == ["WaitForConfirmation"]

    def _is_over(self, saga_id: uuid.UUID) -> bool:
        saga = self.books.saga(saga_id)
        return saga is not None and (saga["status"] in TERMINAL or saga["needs_attention"])


@pytest.fixture
def trips(platform: Platform, books: Books) -> Iterator[Trips]:
    with connect(platform.database) as connection:
        connection.execute(EFFECTS_TABLE)
    trips = Trips(platform, books)
    yield trips
    trips.close()


def test_worker_is_killed_in_parallel_calls(trips: Trips, subtests: pytest.Subtests) -> None:
    """The signal arrives before the calls have ended, and is kept for the step that waits for it."""
    in_a_call = [f"{point}:{step}:forward" for step in ("BookHotel", "BookTrain") for point in OF_A_CALL]
    started = {}
    for point in (*CLAIM, *WITHOUT_CALL, *in_a_call):
        with subtests.test("killed", point=point):
            with worker_dies(trips.platform, point, trips.killed_in, DEATH_SECONDS):
                started[point] = trips.start()
            trips.confirm(started[point])
            trips.platform.arm_workers()
            trips.killed_in.append(started[point])
    for point, saga_id in started.items():
        with subtests.test("recovers", point=point):
            trips.require_end(saga_id, "completed", BOOKED | CONFIRMED | PAID)
            trips.require_one_confirmation(saga_id)


def test_worker_is_killed_between_signal_and_resumption(trips: Trips, subtests: pytest.Subtests) -> None:
    started = trips.start_waiting(FAILS_ON_TIMEOUT, (*CONFIRM, *CLAIM, *WITHOUT_CALL))
    for point, saga_id in started.items():
        with subtests.test("killed", point=point):
            trips.kill_worker(point, saga_id, trips.confirm)
    for point, saga_id in started.items():
        with subtests.test("recovers", point=point):
            trips.require_end(saga_id, "completed", BOOKED | CONFIRMED | PAID)
            trips.require_one_confirmation(saga_id)


def test_worker_is_killed_at_the_timeout(trips: Trips, subtests: pytest.Subtests) -> None:
    ends = {
        FAILS_ON_TIMEOUT: ("compensated", BOOKED | COMPENSATED),
        CONTINUES_ON_TIMEOUT: ("completed", BOOKED | PAID),
    }
    started = {name: trips.start_waiting(name, (*CLAIM, *WITHOUT_CALL)) for name in ends}
    for name, each in started.items():
        for point, saga_id in each.items():
            with subtests.test("killed", name=name, point=point):
                trips.kill_worker(point, saga_id, trips.end_wait)
    for name, each in started.items():
        for point, saga_id in each.items():
            with subtests.test("recovers", name=name, point=point):
                trips.require_end(saga_id, *ends[name])


def test_worker_is_killed_in_compensations(trips: Trips, subtests: pytest.Subtests) -> None:
    """Parallel calls are compensated newest first. A compensating saga is claimed only after a worker has died."""
    calls = [f"{point}:{step}:compensating" for step in ("BookTrain", "BookHotel") for point in OF_A_CALL]
    started = {}
    for point in (*calls, *CLAIM):
        with subtests.test("killed", point=point):
            first = calls[0] if point in CLAIM else point
            with worker_dies(trips.platform, first, trips.killed_in, DEATH_SECONDS):
                started[point] = trips.start(refused_step="PayAgency")
                trips.confirm(started[point])
            if point in CLAIM:
                with worker_dies(trips.platform, point, trips.killed_in, DEATH_SECONDS):
                    pass
            trips.platform.arm_workers()
            trips.killed_in.append(started[point])
    effects = BOOKED | CONFIRMED | COMPENSATED | {("WaitForConfirmation", "compensating")}
    for point, saga_id in started.items():
        with subtests.test("recovers", point=point):
            trips.require_end(saga_id, "compensated", effects)
            trips.require_one_confirmation(saga_id)
