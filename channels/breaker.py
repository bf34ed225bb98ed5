"""The rules of the circuit breaker, as functions of a state and the time.

    CLOSED ── enough faults ──► OPEN ── the pause is over ──► HALF_OPEN ── a probe is answered ──► RECOVERING ──► CLOSED
                                 ▲                                │                                    │
                                 └───── twice the pause ──────────┴────────── faults again ────────────┘

A fault is a call without an answer. A declined payment is an answer: the channel works.
"""

import enum
import json
import random
from dataclasses import asdict, dataclass, replace

from django.conf import settings

# Faults are compared with the answers since the first fault, for so long.
WINDOW_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
# Calls that find out whether the channel is back, and how long their results are waited for.
PROBES = 3
PROBE_SECONDS = 15.0
# After an answered probe the limit grows each second: 3, 6, 12, 24, 48, 96 calls; then there is none.
RAMP_SECONDS = 6
# Refused calls are retried at a random time within so long, so that waiting sagas do not all retry at once.
SPREAD_SECONDS = 30.0


class BreakerPhase(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Times are seconds by the clock of the process or server that keeps the state."""

    phase: BreakerPhase = BreakerPhase.CLOSED
    since: float = 0.0  # CLOSED: the first fault of the window; otherwise the beginning of the phase
    until: float = 0.0  # OPEN: the end of the pause
    pause: float = 0.0  # the last pause in seconds, doubled each time until the breaker is closed again
    faults: int = 0
    good: int = 0  # answers
    admitted: int = 0  # HALF_OPEN: all probes; RECOVERING: the calls of this second
    second: int = 0  # RECOVERING: the second that `admitted` counts

    @property
    def is_quiet(self) -> bool:
        return self.phase is BreakerPhase.CLOSED and not self.faults


@dataclass(frozen=True, slots=True)
class CallAdmitted:
    """`is_probe`: the call finds out whether the channel is back. Its failure is expected and costs no attempt."""

    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class CallRefused:
    retry_after_seconds: float


Admission = CallAdmitted | CallRefused


def admit_call(state: BreakerState, now: float) -> tuple[BreakerState, Admission]:
    match state.phase:
        case BreakerPhase.CLOSED:
            return state, CallAdmitted()
        case BreakerPhase.OPEN if now < state.until:
            return state, CallRefused(state.until - now + random.uniform(0, SPREAD_SECONDS))  # noqa: S311
        case BreakerPhase.OPEN:
            half_open = BreakerState(BreakerPhase.HALF_OPEN, since=now, pause=state.pause)
            return admit_call(half_open, now)
        case BreakerPhase.HALF_OPEN:
            are_probes_lost = state.admitted >= PROBES and now - state.since > PROBE_SECONDS
            probing = replace(state, since=now, admitted=0) if are_probes_lost else state
            return _admit_probe(probing, limit=PROBES)
        case BreakerPhase.RECOVERING:
            second = int(now - state.since)
            if second >= RAMP_SECONDS:
                return BreakerState(), CallAdmitted()
            this_second = state if state.second == second else replace(state, second=second, admitted=0)
            return _admit_probe(this_second, limit=PROBES * 2**second)


def _admit_probe(state: BreakerState, *, limit: int) -> tuple[BreakerState, Admission]:
    if state.admitted >= limit:
        return state, CallRefused(random.uniform(1, SPREAD_SECONDS))  # noqa: S311
    return replace(state, admitted=state.admitted + 1), CallAdmitted(is_probe=True)


def record_result(state: BreakerState, now: float, *, is_answered: bool, is_probe: bool) -> BreakerState:
    """Counts an answer or a fault. Results of calls that were sent before the breaker opened change nothing."""
    match state.phase:
        case BreakerPhase.CLOSED:
            return _record_while_closed(state, now, is_answered=is_answered)
        case BreakerPhase.HALF_OPEN if is_probe and is_answered:
            return BreakerState(BreakerPhase.RECOVERING, since=now, pause=state.pause, good=1)
        case BreakerPhase.HALF_OPEN if is_probe:
            return _open_breaker(state, now)
        case BreakerPhase.RECOVERING if is_probe and is_answered:
            return replace(state, good=state.good + 1)
        case BreakerPhase.RECOVERING if is_probe:
            failing = replace(state, faults=state.faults + 1)
            return _open_breaker(failing, now) if failing.faults >= failing.good else failing
    return state


def _record_while_closed(state: BreakerState, now: float, *, is_answered: bool) -> BreakerState:
    if state.faults and now - state.since > WINDOW_SECONDS:
        state = BreakerState()
    if is_answered:
        return replace(state, good=state.good + 1) if state.faults else state
    failing = replace(state, since=state.since if state.faults else now, faults=state.faults + 1)
    must_open = failing.faults >= settings.CHANNEL_BREAKER_FAULTS and failing.faults >= failing.good
    return _open_breaker(failing, now) if must_open else failing


def _open_breaker(state: BreakerState, now: float) -> BreakerState:
    pause = min(state.pause * 2 or settings.CHANNEL_BREAKER_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    return BreakerState(BreakerPhase.OPEN, since=now, until=now + pause, pause=pause)


def serialize_state(state: BreakerState) -> str:
    return json.dumps(asdict(state))


def parse_state(text: str, now: float) -> BreakerState:
    """Returns the closed state for text that these rules cannot have written."""
    try:
        values = json.loads(text)
        state = BreakerState(
            BreakerPhase(values["phase"]),
            since=float(values["since"]),
            until=float(values["until"]),
            pause=float(values["pause"]),
            faults=int(values["faults"]),
            good=int(values["good"]),
            admitted=int(values["admitted"]),
            second=int(values["second"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return BreakerState()
    is_plausible = (
        state.since <= now + 1
        and state.until <= now + LONGEST_PAUSE_SECONDS + 1
        and 0 <= state.pause <= LONGEST_PAUSE_SECONDS
    )
    return state if is_plausible else BreakerState()
