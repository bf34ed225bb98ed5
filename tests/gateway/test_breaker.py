"""The rules of the circuit breaker as functions of state and time, and the state that processes share."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from channels import breaker, shared_breaker_state
from channels.breaker import BreakerPhase, BreakerState, CallAdmitted, CallRefused, admit_call, record_result
from channels.shared_breaker_state import SharedBreakerState
from common import redis


def fault(state: BreakerState, now: float, *, probe: bool = False) -> BreakerState:
    return record_result(state, now, is_answered=False, is_probe=probe)


def good(state: BreakerState, now: float, *, probe: bool = False) -> BreakerState:
    return record_result(state, now, is_answered=True, is_probe=probe)


def count_admitted(state: BreakerState, now: float, callers: int) -> tuple[BreakerState, int]:
    """Returns how many of `callers` are admitted at one moment."""
    admitted_count = 0
    for _admit in range(callers):
        state, answer = admit_call(state, now)
        admitted_count += isinstance(answer, CallAdmitted)
    return state, admitted_count


@pytest.fixture
def opened() -> BreakerState:
    """A breaker that was opened at second 3, for 5 seconds."""
    state = BreakerState()
    for second in (1, 2, 3):
        state = fault(state, second)
    return state


# --- Opening --------------------------------------------------------------------------------------------


def test_it_opens_at_the_threshold() -> None:
    state = fault(fault(BreakerState(), 1), 2)
    assert state.phase is BreakerPhase.CLOSED
    assert admit_call(state, 2)[1] == CallAdmitted()
    assert fault(state, 3).phase is BreakerPhase.OPEN


def test_it_stays_closed_while_most_calls_are_answered() -> None:
    state = fault(BreakerState(), 0)
    for second in range(1, 20):
        state = fault(good(good(state, second), second), second)
    assert state.phase is BreakerPhase.CLOSED


def test_old_faults_do_not_count() -> None:
    state = fault(fault(BreakerState(), 0), 1)
    assert fault(state, 1 + breaker.WINDOW_SECONDS).faults == 1


def test_good_answers_change_no_state() -> None:
    assert good(BreakerState(), 5) == BreakerState()


def test_answers_to_earlier_calls_change_nothing(opened: BreakerState) -> None:
    assert fault(opened, 4) == opened
    assert good(opened, 4) == opened
    half_open, _ = admit_call(opened, 8)
    assert good(half_open, 8) == half_open
    assert fault(half_open, 8) == half_open


# --- Refusing -------------------------------------------------------------------------------------------


def test_refused_callers_retry_after_the_pause_with_jitter(opened: BreakerState) -> None:
    waits = []
    for _admit in range(1000):
        _, answer = admit_call(opened, 4)
        assert isinstance(answer, CallRefused)
        waits.append(answer.retry_after_seconds)
    assert min(waits) >= opened.until - 4
    assert max(waits) <= opened.until - 4 + breaker.SPREAD_SECONDS
    seconds = [int(wait) for wait in waits]
    assert max(seconds.count(second) for second in seconds) < 3 * 1000 / breaker.SPREAD_SECONDS


# --- Half open ------------------------------------------------------------------------------------------


def test_a_few_probes_are_admitted_after_the_pause(opened: BreakerState) -> None:
    state, admitted_count = count_admitted(opened, opened.until - 0.01, 100)
    assert admitted_count == 0
    state, admitted_count = count_admitted(state, opened.until, 100)
    assert (state.phase, admitted_count) == (BreakerPhase.HALF_OPEN, breaker.PROBES)
    _, answer = admit_call(opened, opened.until)
    assert answer == CallAdmitted(is_probe=True)


def test_unanswered_probes_are_replaced(opened: BreakerState) -> None:
    state, _ = count_admitted(opened, 10, 100)
    assert count_admitted(state, 10 + breaker.PROBE_SECONDS, 100)[1] == 0
    assert count_admitted(state, 10.1 + breaker.PROBE_SECONDS, 100)[1] == breaker.PROBES


def test_a_failed_probe_doubles_the_pause_up_to_a_limit(opened: BreakerState) -> None:
    state, pauses = opened, []
    for _round in range(6):
        pauses.append(state.until - state.since)
        probing, _ = admit_call(state, state.until)
        state = fault(probing, state.until, probe=True)
    assert pauses == [5, 10, 20, 30, 30, 30]


# --- Recovering -----------------------------------------------------------------------------------------


@pytest.fixture
def recovering(opened: BreakerState) -> BreakerState:
    """A breaker that recovers since second 8."""
    half_open, _ = admit_call(opened, 8)
    return good(half_open, 8, probe=True)


def test_recovery_ramps_up_second_by_second(recovering: BreakerState) -> None:
    state, admitted_counts = recovering, []
    for second in range(breaker.RAMP_SECONDS):
        state, early = count_admitted(state, 8 + second + 0.1, 500)
        state, late = count_admitted(state, 8 + second + 0.9, 500)
        admitted_counts.append(early + late)
    assert admitted_counts[0] == breaker.PROBES
    assert all(after == 2 * before for before, after in pairwise(admitted_counts))
    state, admitted_count = count_admitted(state, 8 + breaker.RAMP_SECONDS, 500)
    assert (state, admitted_count) == (BreakerState(), 500)


def test_faults_during_recovery_open_it_for_longer(recovering: BreakerState) -> None:
    state = fault(recovering, 9, probe=True)
    assert (state.phase, state.until) == (BreakerPhase.OPEN, 9 + 10)


def test_one_fault_during_recovery_does_not_open_it(recovering: BreakerState) -> None:
    state = good(good(recovering, 9, probe=True), 9, probe=True)
    assert fault(state, 9, probe=True).phase is BreakerPhase.RECOVERING


# --- Stored state ----------------------------------------------------------------------------------------


def test_a_state_is_stored_and_read(opened: BreakerState, recovering: BreakerState) -> None:
    for state in (BreakerState(), opened, recovering):
        assert breaker.parse_state(breaker.serialize_state(state), 10) == state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "7",
        "[]",
        "{}",
        '{"phase": "ajar"}',
        json.dumps({**json.loads(breaker.serialize_state(BreakerState())), "faults": "many"}),
        breaker.serialize_state(BreakerState(BreakerPhase.OPEN, since=10, until=10_000, pause=30)),
        breaker.serialize_state(BreakerState(BreakerPhase.OPEN, since=10, until=float("inf"), pause=30)),
        breaker.serialize_state(BreakerState(BreakerPhase.RECOVERING, since=10_000)),
        breaker.serialize_state(BreakerState(BreakerPhase.OPEN, since=10, until=12, pause=10_000)),
    ],
)
def test_an_invalid_stored_state_is_ignored(text: str) -> None:
    assert breaker.parse_state(text, 10) == BreakerState()


# --- Processes ------------------------------------------------------------------------------------------


def _admit(state: BreakerState, now: float) -> tuple[BreakerState, object]:
    return admit_call(state, now)


def _fault(state: BreakerState, now: float) -> tuple[BreakerState, None]:
    return fault(state, now), None


def test_processes_share_the_state() -> None:
    processes = [SharedBreakerState("somebank", "test", "platform") for _ in range(3)]
    for process in processes:
        process.change(_fault)
    assert all(isinstance(process.change(_admit), CallRefused) for process in processes)
    assert isinstance(SharedBreakerState("somebank", "live", "platform").change(_admit), CallAdmitted)
    assert isinstance(SharedBreakerState("otherbank", "test", "platform").change(_admit), CallAdmitted)
    assert isinstance(SharedBreakerState("somebank", "test", "another").change(_admit), CallAdmitted)


def test_without_redis_each_process_has_its_own_state(redis_down: None) -> None:
    one, other = (
        SharedBreakerState("somebank", "test", "platform"),
        SharedBreakerState("somebank", "test", "platform"),
    )
    for _time in range(3):
        one.change(_fault)
    assert isinstance(one.change(_admit), CallRefused)
    assert isinstance(other.change(_admit), CallAdmitted)


def test_a_flushed_redis_resets_the_state() -> None:
    process = SharedBreakerState("somebank", "test", "platform")
    for _time in range(3):
        process.change(_fault)
    assert isinstance(process.change(_admit), CallRefused)
    assert redis.attempt(lambda client: client.delete(process._key), otherwise=0) == 1
    assert isinstance(process.change(_admit), CallAdmitted)


def test_concurrent_faults_are_all_counted() -> None:
    """The second process writes between the read and the write of the first."""
    one, other = (
        SharedBreakerState("somebank", "test", "platform"),
        SharedBreakerState("somebank", "test", "platform"),
    )
    between = [lambda: other.change(_fault)]

    def slow(state: BreakerState, now: float) -> tuple[BreakerState, int]:
        if between:
            between.pop()()
        after = fault(state, now)
        return after, after.faults

    assert one.change(slow) == 2


def test_good_calls_read_redis_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    process = SharedBreakerState("somebank", "test", "platform")
    assert not process.was_quiet
    process.change(_admit)
    assert process.was_quiet
    monkeypatch.setattr(shared_breaker_state.time, "monotonic", lambda: process._quiet_until + 0.001)
    assert not process.was_quiet


def test_a_state_with_a_fault_is_always_read_from_redis() -> None:
    process = SharedBreakerState("somebank", "test", "platform")
    process.change(_fault)
    assert not process.was_quiet
    assert not replace(BreakerState(), faults=1).is_quiet
