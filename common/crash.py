"""Named points at which a test can kill the process, and calls a test can make look lost.

Off unless `CRASH_POINTS=1`. A test arms exactly one point for one process through its environment:

    PAYMENT_CRASH_AT="saga.outcome.before_commit:CallPaymentChannel"   kill -9 itself there
    PAYMENT_LOSE_ANSWER_OF="CallPaymentChannel"                         the call happens, its answer is lost

Points are named `<where>.<before_commit|after_commit>`, the part behind the colon is the step about to run, or what
else the point is about; `:compensating` or `:forward` behind that narrows it to one direction. Sagas that are named in
PAYMENT_CRASH_SPARES, separated by commas, are nobody's victims: one that recovers from a blow does not take the next.
"""

import os
import signal
import uuid

from django.conf import settings


def reach(point: str, step: str = "", direction: str = "", *, saga_id: uuid.UUID | None = None) -> None:
    """Dies by SIGKILL when this point is armed: no `finally`, no rollback message, no goodbye."""
    names = (point, f"{point}:{step}", f"{point}:{step}:{direction}")
    if not settings.CRASH_POINTS or os.environ.get("PAYMENT_CRASH_AT") not in names:
        return
    if str(saga_id) not in os.environ.get("PAYMENT_CRASH_SPARES", "").split(","):
        os.kill(os.getpid(), signal.SIGKILL)


def answer_is_lost(step: str, direction: str) -> bool:
    """True when the answer of this step's call is to be reported as a timeout."""
    names = (step, f"{step}:{direction}")
    return settings.CRASH_POINTS and os.environ.get("PAYMENT_LOSE_ANSWER_OF") in names
