"""Named points at which a test can kill the process, and calls a test can make look lost.

Off unless `CRASH_POINTS=1`. A test arms exactly one point for one process through its environment:

    PAYMENT_CRASH_AT="saga.outcome.before_commit:CallPaymentChannel"   kill -9 itself there
    PAYMENT_LOSE_ANSWER_OF="CallPaymentChannel"                         the call happens, its answer is lost

Points are named `<where>.<before_commit|after_commit>`. After the colon stands the step that is about to run, or
another detail; `:compensating` or `:forward` after that restricts it to one direction. No process dies for the sagas
in PAYMENT_CRASH_SPARES (comma separated), so that a saga that recovers from one crash does not meet the next.
"""

import os
import signal
import uuid

from django.conf import settings


def reach(point: str, step: str = "", direction: str = "", *, saga_id: uuid.UUID | None = None) -> None:
    """Kills this process with SIGKILL when the point is armed, so that no `finally` runs."""
    if not settings.CRASH_POINTS:
        return
    names = (point, f"{point}:{step}", f"{point}:{step}:{direction}")
    if os.environ.get("PAYMENT_CRASH_AT") not in names:
        return
    if str(saga_id) not in os.environ.get("PAYMENT_CRASH_SPARES", "").split(","):
        os.kill(os.getpid(), signal.SIGKILL)


def answer_is_lost(step: str, direction: str) -> bool:
    """Whether the answer of this step's call must be reported as a timeout."""
    names = (step, f"{step}:{direction}")
    return settings.CRASH_POINTS and os.environ.get("PAYMENT_LOSE_ANSWER_OF") in names
