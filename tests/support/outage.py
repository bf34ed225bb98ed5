"""A channel that is down, and time that passes for the breaker and for waiting sagas without a sleep."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from channels import breaker, guard
from channels.base import ChannelAccount, NotProcessed, UnknownOutcome
from channels.breaker import BreakerPhase
from channels.shared_breaker_state import SharedBreakerState
from common import redis
from gateway.models import Payment, Refund
from sagas.models import ACTIVE_SAGA_STATUSES, SagaInstance, SagaStep
from tests.support.channels import CALLS, InterceptedSimulator, intercept_simulator
from tests.support.sagas import MAX_ROUNDS, run_due, run_once


class Killswitch:
    """The simulator behind a line that can be cut. Counts the calls that reach the line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.line: InterceptedSimulator = intercept_simulator(monkeypatch)
        self.line.before = self._count
        self.calls: list[str] = []

    def _count(self, operation: str, _request: Any) -> None:
        self.calls.append(operation)

    def cut(self, answer: NotProcessed | UnknownOutcome | None = None, *, lose_answers: bool = False) -> None:
        """Calls do not arrive. With `lose_answers` they arrive, and only their answers are lost."""
        gone = answer or UnknownOutcome("timeout: no answer in time")
        inner = self.line._simulator

        class Dead:
            def __getattr__(self, operation: str) -> Any:
                if operation not in CALLS:
                    return getattr(inner, operation)
                return lambda request: getattr(inner, operation)(request) and gone if lose_answers else gone

        self.line._simulator = Dead()  # type: ignore[assignment]
        self._alive = inner

    def mend(self) -> None:
        self.line._simulator = self._alive


def breaker_state(environment: str = "test") -> breaker.BreakerState:
    return shared(environment).change(lambda state, now: (state, state))


def breaker_of(channel: str, environment: str = "test") -> breaker.BreakerState:
    return guard.get_guard(channel, ChannelAccount(environment))._state.change(
        lambda state, now: (state, state)
    )


def phase() -> BreakerPhase:
    return breaker_state().phase


def shared(environment: str = "test") -> SharedBreakerState:
    return guard.get_guard("simulator", ChannelAccount(environment))._state


def advance_time(seconds: float) -> None:
    """Lets so many seconds pass, for sagas and for the breaker."""
    advance_time_for_sagas(seconds)
    advance_time_for_breaker(seconds)


def advance_time_for_sagas(seconds: float) -> None:
    earlier = timedelta(seconds=seconds)
    SagaStep.objects.filter(next_retry_at__isnull=False).update(next_retry_at=F("next_retry_at") - earlier)
    active = SagaInstance.objects.filter(status__in=ACTIVE_SAGA_STATUSES)
    active.update(deadline_at=F("deadline_at") - earlier, lease_expires_at=F("lease_expires_at") - earlier)
    for rows in (Payment.objects, Refund.objects):
        rows.filter(next_check_at__isnull=False).update(next_check_at=F("next_check_at") - earlier)


def advance_time_for_breaker(seconds: float) -> None:
    """Lets time pass for the breaker of every channel account that this process has called."""
    for each in guard._guards.values():
        _advance_time_for(each._state, seconds)


def _advance_time_for(state: SharedBreakerState, seconds: float) -> None:
    state._quiet_until = 0.0
    state._own = _aged(state._own, seconds)
    loaded = redis.attempt(state._load, otherwise=None)
    if loaded is not None and loaded[1]:
        now, text = loaded
        aged = _aged(breaker.parse_state(text, now), seconds)
        redis.attempt(lambda client: client.set(state._key, breaker.serialize_state(aged)), otherwise=None)


def _aged(state: breaker.BreakerState, seconds: float) -> breaker.BreakerState:
    return replace(state, since=state.since - seconds, until=state.until - seconds)


def run_until_idle() -> None:
    for _round in range(24):
        if not run_for(5):
            return
    raise AssertionError("after two minutes there are still active sagas")


class StoppedTime:
    """Only `run_for` lets time pass, however slow the machine is: the breaker's clock stands still in every test, and
    the real time is taken back from the waiting sagas."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def run_for(self, seconds: float) -> int:
        """Lets so many seconds pass, and runs the sagas that are due then. Returns how many sagas are still active.

        Time stands still for the waiting sagas while those that are due run, so that a slow machine makes no others
        due meanwhile.
        """
        advance_time_for_sagas(seconds - self._restart())
        advance_time_for_breaker(seconds)
        for _round in range(MAX_ROUNDS):
            if not run_once():
                return count_active_sagas()
            advance_time_for_sagas(-self._restart())
        raise AssertionError("sagas are still due")

    def _restart(self) -> float:
        """Returns how many seconds really passed since the last call."""
        now = time.monotonic()
        passed, self._since = now - self._since, now
        return passed


def run_for(seconds: float) -> int:
    """Lets so many seconds pass, and runs the sagas that are due then. Returns how many sagas are still active."""
    advance_time(seconds)
    run_due()
    return count_active_sagas()


def count_active_sagas() -> int:
    return SagaInstance.objects.filter(status__in=ACTIVE_SAGA_STATUSES, needs_attention=False).count()
