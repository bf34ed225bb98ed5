"""Real workers die in steps that wait for a signal and in calls that are made together; `journey_effects` and the
auditor say that each effect is there once."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from django.conf import settings

from scripts.local.postgres import connect
from tests.processes.deaths import worker_dies
from tests.support.books import TERMINAL, Books, Row
from tests.support.journey import BOOK, GOES_ON, NEWS, TURNS_BACK
from tests.support.processes import LEASE_SECONDS, RECOVERY_SECONDS, SWEEP_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, wait_until

pytestmark = pytest.mark.processes

CLAIM = ("saga.claim.before_commit", "saga.claim.after_commit")
# The commit of a worker that has nobody's answer to record: the local step and the intents; the signal; the timeout.
BOUNDARY = ("saga.outcome.before_commit::forward", "saga.outcome.after_commit::forward")
OF_A_CALL = ("saga.call.before", "saga.call.after", "saga.outcome.before_commit", "saga.outcome.after_commit")
TELLING = ("journey.tell.before_commit", "journey.tell.after_commit")
DEATH_SECONDS = LEASE_SECONDS + SWEEP_SECONDS + LOADED_SECONDS

DONE = {("Note", "forward"), ("Hotel", "forward"), ("Train", "forward")}
UNDONE = {(step, "compensating") for step, _ in DONE}
HEARD, CLOSED = {("Hear", "forward")}, {("Close", "forward")}


class Journeys:
    """Begins journeys, brings them news and reads what became of them."""

    def __init__(self, platform: Platform, books: Books) -> None:
        self.platform, self.books = platform, books
        self.struck: list[uuid.UUID] = []
        options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        broker = f"redis://{platform.cache}/0"
        self._celery = Celery(broker=broker, broker_transport_options=options, set_as_current=False)

    def close(self) -> None:
        self._celery.close()

    def begin(self, name: str = TURNS_BACK, *, refused: str = "") -> uuid.UUID:
        saga_id = uuid.uuid4()
        self._send("journey.begin", name, str(saga_id), refused)
        return saga_id

    def tell(self, saga_id: uuid.UUID) -> None:
        wait_until(lambda: self.books.saga(saga_id), LOADED_SECONDS, f"journey {saga_id}")
        self._send("journey.tell", str(saga_id))

    def _send(self, task: str, *arguments: str) -> None:
        self._celery.send_task(task, arguments, queue=settings.CELERY_TASK_DEFAULT_QUEUE)

    def begin_waiting(self, name: str, points: tuple[str, ...]) -> dict[str, uuid.UUID]:
        """One journey for each point, all of which wait."""
        begun = {point: self.begin(name) for point in points}
        for saga_id in begun.values():
            wait_until(lambda saga_id=saga_id: self._waits(saga_id), DEATH_SECONDS, f"{saga_id} to wait")
        return begun

    def _waits(self, saga_id: uuid.UUID) -> Row | None:
        query = "SELECT 1 FROM saga_instances WHERE id = %s AND waiting_for = %s AND lease_expires_at IS NULL"
        return self.books.row(query, saga_id, NEWS)

    def let_the_wait_pass(self, saga_id: uuid.UUID) -> None:
        query = (
            "UPDATE saga_instances SET waiting_until = now() WHERE id = %s AND waiting_for <> '' RETURNING id"
        )
        assert self.books.row(query, saga_id)

    def dies(self, point: str, saga_id: uuid.UUID, news: Callable[[uuid.UUID], None]) -> None:
        """The worker that the news sends to this journey dies at the point, and nobody after it."""
        with worker_dies(self.platform, point, self.struck, DEATH_SECONDS):
            news(saga_id)
        self.platform.arm_workers()
        self.struck.append(saga_id)

    def require_end(self, saga_id: uuid.UUID, status: str, effects: set[tuple[str, str]]) -> None:
        wait_until(lambda: self._is_over(saga_id), RECOVERY_SECONDS + LOADED_SECONDS, f"the end of {saga_id}")
        self.books.require_terminal(saga_id, status)
        rows = self.books.rows("SELECT step, direction FROM journey_effects WHERE saga_id = %s", saga_id)
        assert Counter((row["step"], row["direction"]) for row in rows) == dict.fromkeys(effects, 1)

    def require_heard_once(self, saga_id: uuid.UUID) -> None:
        taken = self.books.rows("SELECT taken_by FROM saga_signals WHERE saga_id = %s", saga_id)
        assert [row["taken_by"] for row in taken] == ["Hear"]

    def _is_over(self, saga_id: uuid.UUID) -> bool:
        saga = self.books.saga(saga_id)
        return saga is not None and (saga["status"] in TERMINAL or saga["needs_attention"])


@pytest.fixture
def journeys(platform: Platform, books: Books) -> Iterator[Journeys]:
    with connect(platform.database) as connection:
        connection.execute(BOOK)
    journeys = Journeys(platform, books)
    yield journeys
    journeys.close()


def test_worker_dies_in_calls_made_together(journeys: Journeys, subtests: pytest.Subtests) -> None:
    """The news is there before the calls are over, and is kept for the step that will want it."""
    in_the_group = [f"{point}:{step}:forward" for step in ("Hotel", "Train") for point in OF_A_CALL]
    begun = {}
    for point in (*CLAIM, *BOUNDARY, *in_the_group):
        with subtests.test("dies", point=point):
            with worker_dies(journeys.platform, point, journeys.struck, DEATH_SECONDS):
                begun[point] = journeys.begin()
            journeys.tell(begun[point])
            journeys.platform.arm_workers()
            journeys.struck.append(begun[point])
    for point, saga_id in begun.items():
        with subtests.test("recovers", point=point):
            journeys.require_end(saga_id, "completed", DONE | HEARD | CLOSED)
            journeys.require_heard_once(saga_id)


def test_worker_dies_between_the_signal_and_its_taking_up(
    journeys: Journeys, subtests: pytest.Subtests
) -> None:
    begun = journeys.begin_waiting(TURNS_BACK, (*TELLING, *CLAIM, *BOUNDARY))
    for point, saga_id in begun.items():
        with subtests.test("dies", point=point):
            journeys.dies(point, saga_id, journeys.tell)
    for point, saga_id in begun.items():
        with subtests.test("recovers", point=point):
            journeys.require_end(saga_id, "completed", DONE | HEARD | CLOSED)
            journeys.require_heard_once(saga_id)


def test_worker_dies_at_the_timeout(journeys: Journeys, subtests: pytest.Subtests) -> None:
    ends = {TURNS_BACK: ("compensated", DONE | UNDONE), GOES_ON: ("completed", DONE | CLOSED)}
    begun = {name: journeys.begin_waiting(name, (*CLAIM, *BOUNDARY)) for name in ends}
    for name, each in begun.items():
        for point, saga_id in each.items():
            with subtests.test("dies", name=name, point=point):
                journeys.dies(point, saga_id, journeys.let_the_wait_pass)
    for name, each in begun.items():
        for point, saga_id in each.items():
            with subtests.test("recovers", name=name, point=point):
                journeys.require_end(saga_id, *ends[name])


def test_worker_dies_undoing_them(journeys: Journeys, subtests: pytest.Subtests) -> None:
    """What was called together is undone newest first; a claim of the way back comes only after a death on it."""
    calls = [f"{point}:{step}:compensating" for step in ("Train", "Hotel") for point in OF_A_CALL]
    begun = {}
    for point in (*calls, *CLAIM):
        with subtests.test("dies", point=point):
            first = calls[0] if point in CLAIM else point
            with worker_dies(journeys.platform, first, journeys.struck, DEATH_SECONDS):
                begun[point] = journeys.begin(refused="Close")
                journeys.tell(begun[point])
            if point in CLAIM:
                with worker_dies(journeys.platform, point, journeys.struck, DEATH_SECONDS):
                    pass
            journeys.platform.arm_workers()
            journeys.struck.append(begun[point])
    effects = DONE | HEARD | UNDONE | {("Hear", "compensating")}
    for point, saga_id in begun.items():
        with subtests.test("recovers", point=point):
            journeys.require_end(saga_id, "compensated", effects)
            journeys.require_heard_once(saga_id)
