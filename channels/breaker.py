"""When a channel is left alone, and how it is taken up again: rules as functions of a state and the time.

    CLOSED ── enough faults ──► OPEN ── the pause is over ──► HALF_OPEN ── a probe is answered ──► RECOVERING ──► CLOSED
                                 ▲                                │                                    │
                                 └───── twice the pause ──────────┴────────── faults again ────────────┘

A fault is a call that brought no answer. A declined payment is an answer: that channel works.
"""

import enum
import json
import random
from dataclasses import asdict, dataclass, replace

from django.conf import settings

# Faults are weighed against the good answers since the first of them, for so long.
WINDOW_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
# How many calls may find out whether the channel is back, and how long their answers are waited for.
PROBES = 3
PROBE_SECONDS = 15.0
# After a good probe, second by second: 3, 6, 12, 24, 48, 96 calls; then no limit.
RAMP_SECONDS = 6
# Who is refused comes back at a random moment within so long: a thousand waiting sagas never knock at once.
SPREAD_SECONDS = 30.0


class Phase(enum.StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    RECOVERING = "recovering"


@dataclass(frozen=True, slots=True)
class State:
    """Moments are seconds by the clock of whoever keeps the state."""

    phase: Phase = Phase.CLOSED
    since: float = 0.0  # the first fault of the window, or the beginning of the phase
    until: float = 0.0  # OPEN: the end of the pause
    pause: float = 0.0  # the last pause, doubled each time until the breaker is closed again
    faults: int = 0
    good: int = 0
    admitted: int = 0  # HALF_OPEN: all; RECOVERING: in this second
    second: int = 0  # RECOVERING: the second that `admitted` counts

    @property
    def is_quiet(self) -> bool:
        return self.phase is Phase.CLOSED and not self.faults


@dataclass(frozen=True, slots=True)
class Admitted:
    """`probe`: it goes out to see whether the channel is back. Its failure is no news, and nobody's fault."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    retry_after_seconds: float


Admission = Admitted | Refused


def admission(state: State, now: float) -> tuple[State, Admission]:
    match state.phase:
        case Phase.CLOSED:
            return state, Admitted()
        case Phase.OPEN if now < state.until:
            return state, Refused(state.until - now + random.uniform(0, SPREAD_SECONDS))  # noqa: S311
        case Phase.OPEN:
            return admission(State(Phase.HALF_OPEN, since=now, pause=state.pause), now)
        case Phase.HALF_OPEN:
            lost = state.admitted >= PROBES and now - state.since > PROBE_SECONDS
            probing = replace(state, since=now, admitted=0) if lost else state
            return _one_of(PROBES, probing)
        case Phase.RECOVERING:
            second = int(now - state.since)
            if second >= RAMP_SECONDS:
                return State(), Admitted()
            this = state if state.second == second else replace(state, second=second, admitted=0)
            return _one_of(PROBES * 2**second, this)


def _one_of(allowed: int, state: State) -> tuple[State, Admission]:
    if state.admitted >= allowed:
        return state, Refused(random.uniform(1, SPREAD_SECONDS))  # noqa: S311
    return replace(state, admitted=state.admitted + 1), Admitted(probe=True)


def after_answer(state: State, now: float, *, good: bool, probe: bool) -> State:
    """What an answer, or none (`good` is False), says. Calls from before the breaker opened say nothing new."""
    match state.phase:
        case Phase.CLOSED:
            return _weighed(state, now, good=good)
        case Phase.HALF_OPEN if probe and good:
            return State(Phase.RECOVERING, since=now, pause=state.pause, good=1)
        case Phase.HALF_OPEN if probe:
            return _opened(state, now)
        case Phase.RECOVERING if probe and good:
            return replace(state, good=state.good + 1)
        case Phase.RECOVERING if probe:
            failing = replace(state, faults=state.faults + 1)
            return _opened(failing, now) if failing.faults >= failing.good else failing
    return state


def _weighed(state: State, now: float, *, good: bool) -> State:
    if state.faults and now - state.since > WINDOW_SECONDS:
        state = State()
    if good:
        return replace(state, good=state.good + 1) if state.faults else state
    failing = replace(state, since=state.since if state.faults else now, faults=state.faults + 1)
    enough = failing.faults >= settings.CHANNEL_BREAKER_FAULTS and failing.faults >= failing.good
    return _opened(failing, now) if enough else failing


def _opened(state: State, now: float) -> State:
    pause = min(state.pause * 2 or settings.CHANNEL_BREAKER_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    return State(Phase.OPEN, since=now, until=now + pause, pause=pause)


def as_text(state: State) -> str:
    return json.dumps(asdict(state))


def read(text: str, now: float) -> State:
    """What others left. Anything that these rules cannot have written counts as nothing."""
    try:
        told = json.loads(text)
        state = State(
            Phase(told["phase"]),
            since=float(told["since"]),
            until=float(told["until"]),
            pause=float(told["pause"]),
            faults=int(told["faults"]),
            good=int(told["good"]),
            admitted=int(told["admitted"]),
            second=int(told["second"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return State()
    believable = state.since <= now + 1 and state.until <= now + LONGEST_PAUSE_SECONDS + 1
    return state if believable and 0 <= state.pause <= LONGEST_PAUSE_SECONDS else State()
