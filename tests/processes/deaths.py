"""A child of the Celery worker dies at a chosen crash point."""

import contextlib
import uuid
from collections.abc import Iterator, Sequence

from tests.support.processes import Platform
from tests.support.waiting import wait_until


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
