"""Computes the figures of a scenario from the journal of its clients. Pure: numbers in, numbers out."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.lab.client import Outcome

WINDOW_SECONDS = 10.0
OUTAGE_SECONDS = 2.0
USUAL_PAUSES = 2.0  # an outage is longer than so many of the longest pauses before it
NORMAL_SHARE = 0.7  # of the rate before the fault


@dataclass(frozen=True, slots=True)
class Round:
    """One fault: when the load was measured before it, when it came, and when the next one may have come."""

    calm_from: float
    fault_at: float
    until: float
    failover_seconds: float | None  # until another database took writes
    new_primary: str | None


def confirmed_rate(outcomes: Iterable[Outcome], begin: float, end: float) -> float:
    """Writes that were confirmed in that time, per second."""
    return len(_confirmed_between(outcomes, begin, end)) / (end - begin)


def interruptions(outcomes: Sequence[Outcome], round_: Round) -> list[float]:
    """For each client: the longest time from sending a write to its confirmation, of those that the fault met.

    0 for a client whose writes were all confirmed at the first try: it noticed nothing.
    """
    longest: defaultdict[int, float] = defaultdict(float)
    for outcome in outcomes:
        answered = outcome.answered_at
        if answered is None or not round_.fault_at <= answered <= round_.until:
            continue
        waited = answered - outcome.first_sent_at if outcome.errors else 0.0
        longest[outcome.client] = max(longest[outcome.client], waited)
    return sorted(longest.values())


def first_success(outcomes: Sequence[Outcome], round_: Round) -> float | None:
    """Seconds from the fault to the end of the longest time without any confirmation; 0 when that was a short one, or
    as long as one before the fault: a busy machine has pauses of its own."""
    moments = _confirmed_between(outcomes, round_.fault_at, round_.until)
    if not moments:
        return None
    begin, end = _longest_pause(round_.fault_at, moments)
    calm = _confirmed_between(outcomes, round_.calm_from, round_.fault_at)
    usual_begin, usual_end = _longest_pause(round_.calm_from, calm)
    is_outage = end - begin >= max(OUTAGE_SECONDS, USUAL_PAUSES * (usual_end - usual_begin))
    return end - round_.fault_at if is_outage else 0.0


def _longest_pause(begin: float, moments: Sequence[float]) -> tuple[float, float]:
    steps = zip([begin, *moments], moments, strict=False)
    return max(steps, key=lambda step: step[1] - step[0], default=(begin, begin))


def back_to_rate(outcomes: Sequence[Outcome], round_: Round) -> float | None:
    """Seconds from the fault until the clients are served as before, for the rest of the round.

    The last window of ten seconds below seven tenths of the rate before ends then. None: not within the round.
    """
    normal = NORMAL_SHARE * confirmed_rate(outcomes, round_.calm_from, round_.fault_at)
    begin, recovered = round_.fault_at, 0.0
    while begin + WINDOW_SECONDS <= round_.until:
        if confirmed_rate(outcomes, begin, begin + WINDOW_SECONDS) < normal:
            recovered = begin + WINDOW_SECONDS - round_.fault_at
        begin += 1.0
    return None if recovered and recovered + round_.fault_at > round_.until - 1.0 else recovered


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _confirmed_between(outcomes: Iterable[Outcome], begin: float, end: float) -> list[float]:
    return sorted(
        outcome.answered_at
        for outcome in outcomes
        if outcome.is_confirmed and outcome.answered_at is not None and begin <= outcome.answered_at < end
    )
