"""The crash points of a saga's step, and workers that are killed at one of them."""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence

from tests.processes.flows import Flow
from tests.support.processes import Platform
from tests.support.waiting import wait_until

CLAIM_OF_SAGA = ("saga.claim.before_commit", "saga.claim.after_commit")
# The intent is committed before the call, the outcome after it; these take the step's name and direction.
OF_A_STEP = ("saga.call.before", "saga.call.after", "saga.outcome.before_commit", "saga.outcome.after_commit")
IN_A_RETRY = CLAIM_OF_SAGA + OF_A_STEP

# Counts one cell of the matrix: the flow, the direction, the kind of process, and the point.
Cell = Callable[[Flow, str, str, str], None]


def name_point(point: str, flow: Flow, direction: str = "forward") -> str:
    return f"{point}:{flow.step}:{direction}" if point in OF_A_STEP else point


@contextlib.contextmanager
def worker_dies(
    platform: Platform, point: str, spared: Sequence[uuid.UUID], seconds: float
) -> Iterator[None]:
    """The first child of the worker that reaches the crash point inside this block is killed there. Until the workers
    are disarmed, so is each further one. Sagas in `spared` are left alone: they recover from an earlier kill."""
    platform.arm_workers(crash_at=point, spares=spared)
    dead = platform.dead_children()
    yield
    wait_until(lambda: platform.dead_children() - dead, seconds, f"a child to die at {point}")
