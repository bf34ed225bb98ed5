"""The crash points of a saga's step, and a worker that dies at a chosen one."""

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
    platform: Platform, point: str, struck: Sequence[uuid.UUID], seconds: float
) -> Iterator[None]:
    """What happens inside costs a child its life; until they are disarmed, others follow it. The sagas that were
    `struck` before are spared: they recover meanwhile."""
    platform.arm_workers(crash_at=point, spares=struck)
    dead = platform.dead_children()
    yield
    wait_until(lambda: platform.dead_children() - dead, seconds, f"a child to die at {point}")
