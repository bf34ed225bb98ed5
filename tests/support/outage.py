"""A channel that is down, and time that passes for the breaker and for waiting sagas without anybody sleeping."""

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
        """Calls do not arrive; with `lose_answers` they do, and only what they bring is lost."""
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


def let_pass(seconds: float) -> None:
    """All that is due by then is due now."""
    let_pass_for_sagas(seconds)
    let_pass_for_breaker(seconds)


def let_pass_for_sagas(seconds: float) -> None:
    earlier = timedelta(seconds=seconds)
    SagaStep.objects.filter(next_retry_at__isnull=False).update(next_retry_at=F("next_retry_at") - earlier)
    active = SagaInstance.objects.filter(status__in=ACTIVE_SAGA_STATUSES)
    active.update(deadline_at=F("deadline_at") - earlier, lease_expires_at=F("lease_expires_at") - earlier)
    for rows in (Payment.objects, Refund.objects):
        rows.filter(next_check_at__isnull=False).update(next_check_at=F("next_check_at") - earlier)


def let_pass_for_breaker(seconds: float) -> None:
    """For the breaker of every channel account that this process has called."""
    for each in guard._guards.values():
        _let_pass_for(each._state, seconds)


def _let_pass_for(state: SharedBreakerState, seconds: float) -> None:
    state._quiet_until = 0.0
    state._own = _aged(state._own, seconds)
    loaded = redis.attempt(state._load, otherwise=None)
    if loaded is not None and loaded[1]:
        now, text = loaded
        aged = _aged(breaker.parse_state(text, now), seconds)
        redis.attempt(lambda client: client.set(state._key, breaker.serialize_state(aged)), otherwise=None)


def _aged(state: breaker.BreakerState, seconds: float) -> breaker.BreakerState:
    return replace(state, since=state.since - seconds, until=state.until - seconds)


def live_on_until_rest() -> None:
    for _round in range(24):
        if not live_on(5):
            return
    raise AssertionError("two minutes later there are still sagas at work")


class StoppedTime:
    """However slow the machine is, time is what `live_on` says: the breaker's clock stands still in every test, and
    what really passed is taken back from the waiting sagas."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def live_on(self, seconds: float) -> int:
        """So many seconds pass, and workers do what is due then. Returns how many sagas are not at rest yet.

        Time stands still for the waiting sagas while those that are due run, so that a slow machine makes no others
        due meanwhile.
        """
        let_pass_for_sagas(seconds - self._restart())
        let_pass_for_breaker(seconds)
        for _round in range(MAX_ROUNDS):
            if not run_once():
                return count_sagas_at_work()
            let_pass_for_sagas(-self._restart())
        raise AssertionError("sagas are still due")

    def _restart(self) -> float:
        """Returns how many seconds really passed since the last call."""
        now = time.monotonic()
        passed, self._since = now - self._since, now
        return passed


def live_on(seconds: float) -> int:
    """So many seconds pass, and workers do what is due then. Returns how many sagas are not at rest yet."""
    let_pass(seconds)
    run_due()
    return count_sagas_at_work()


def count_sagas_at_work() -> int:
    return SagaInstance.objects.filter(status__in=ACTIVE_SAGA_STATUSES, needs_attention=False).count()
