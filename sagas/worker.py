"""The worker of a task queue: claims due sagas, and advances each in a thread until it is released (ADR 22)."""

import threading
from collections import Counter
from collections.abc import Sequence

from django.conf import settings

from common.claim_loop import Claimed, ClaimLoop
from sagas import engine, wakeups
from sagas.state import SagaState

# A process holds at most one possibly poison saga, that is, one whose last worker died. If that saga kills the process,
# the sagas that are interrupted with it are different ones each time, so none of them is mistaken for a poison saga.
MAX_POSSIBLY_POISON = 1


class SagaWorker:
    """Advances up to `threads` sagas of one queue at a time."""

    def __init__(self, *, task_queue: str, threads: int) -> None:
        self._task_queue = task_queue
        # Where the last claim stopped. Empty at the start of a round over all fairness keys.
        self._last_key = ""
        # Whether due sagas were left unclaimed in this round.
        self._has_more = False
        self._loop = ClaimLoop(
            name=f"sagas-{task_queue}",
            places=threads,
            claim=self._claim,
            work=engine.resume_claimed_saga,
            poll_seconds=settings.SAGA_SWEEP_SECONDS,
        )

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, then finishes the sagas that it holds."""
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
        """Claims up to `places` due sagas from the next fairness keys of the round.

        Wakes another worker when due sagas are left and no place is free here. Claims again at once when places are
        free and the round is unfinished or another worker had locked what this claim chose.
        """
        batch = engine.claim_due_sagas(
            task_queue=self._task_queue,
            places=places,
            held=Counter(saga.fairness_key for saga in in_flight),
            possibly_poison=MAX_POSSIBLY_POISON - sum(saga.claims_without_progress > 1 for saga in in_flight),
            after=self._last_key,
        )
        # An earlier claim of the same round may have left due sagas behind. A new round begins without that memory.
        self._has_more = batch.has_more or bool(self._last_key and self._has_more)
        self._last_key = batch.last_key
        is_full = len(batch.sagas) == places
        if batch.has_more and is_full:
            wakeups.send_wakeup_now(self._task_queue)  # for another worker that has a free place
        is_unfinished = batch.was_contended or bool(self._last_key)
        return Claimed(
            batch.sagas, more=self._has_more or is_unfinished, claim_again=is_unfinished and not is_full
        )
