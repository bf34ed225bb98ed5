"""The worker of a task queue: claims due sagas, and continues each in a thread until it rests (ADR 22)."""

import threading
from collections import Counter
from collections.abc import Sequence

from django.conf import settings
from django.db import connection

from common.claim_loop import Claimed, ClaimLoop
from sagas import engine, wakeups
from sagas.state import SagaState

# Of sagas whose last worker died, a process takes one at a time: if it is the saga that kills, the others that die with
# it are different ones each time, and none of them is taken for a poison saga.
SUSPECTS = 1


class SagaWorker:
    """`threads` sagas of one queue at a time."""

    def __init__(self, *, task_queue: str, threads: int) -> None:
        self._task_queue = task_queue
        self._after = ""  # the last key that was looked at in this round over all keys; empty when one begins
        self._left = False  # whether something due was left in this round
        self._loop = ClaimLoop(
            name=f"sagas-{task_queue}",
            places=threads,
            claim=self._claim,
            work=_resume,
            poll_seconds=settings.SAGA_SWEEP_SECONDS,
        )

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, then lets the sagas under way come to rest."""
        listener = threading.Thread(
            target=wakeups.listen_for_wakeups,
            args=(self._task_queue,),
            kwargs={"has_room": self._loop.has_room, "wake": self._loop.wake, "stop": stop},
            name=f"wakeups-{self._task_queue}",
            daemon=True,
        )
        listener.start()
        self._loop.run(stop)
        listener.join()

    def _claim(self, in_flight: Sequence[SagaState], places: int) -> Claimed[SagaState]:
        batch = engine.claim_due_sagas(
            task_queue=self._task_queue,
            places=places,
            held=Counter(saga.fairness_key for saga in in_flight),
            suspects=SUSPECTS - sum(saga.claims_without_progress > 1 for saga in in_flight),
            after=self._after,
        )
        self._left = batch.more or bool(self._after and self._left)
        self._after = batch.last_key
        is_full = len(batch.sagas) == places
        if batch.more and is_full:
            wakeups.send_wakeup_now(self._task_queue)  # to another worker that has room
        is_unfinished = batch.contended or bool(self._after)
        return Claimed(
            batch.sagas, more=self._left or is_unfinished, claim_again=is_unfinished and not is_full
        )


def _resume(saga: SagaState) -> None:
    # During a call to the outside no connection is held: there may be more calls than connections.
    engine.resume_claimed_saga(saga, before_calls=connection.close)
