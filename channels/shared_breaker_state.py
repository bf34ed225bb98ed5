"""The breaker's state of one channel account, which all processes share through Redis.

Without Redis each process keeps its own state, and finds out for itself that a channel is down.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from channels import breaker, metrics
from channels.breaker import BreakerState
from common import redis

T = TypeVar("T")
# Returns the next state and the value that the caller wants.
Rule = Callable[[BreakerState, float], tuple[BreakerState, T]]
log = structlog.get_logger(__name__)

PREFIX = "payment-gateway:channel-breaker"
RETENTION_SECONDS = 3600
# While the breaker is quiet, the shared state is read only this often: an answered call costs nothing.
REFRESH_SECONDS = 1.0
# Several processes may write at the same time. After this many lost races a process uses its own state.
TRIES = 8

# The time is Redis's, so that processes with different clocks agree.
_LOAD = "local t = redis.call('TIME') return {t[1], t[2], redis.call('GET', KEYS[1]) or ''}"
_REPLACE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class SharedBreakerState:
    def __init__(self, channel: str, environment: str, account: str) -> None:
        self.channel, self.environment, self.account = channel, environment, account
        self._key = f"{PREFIX}:{channel}:{environment}:{account}"
        self._lock = threading.Lock()
        self._own = BreakerState()  # by this process's monotonic clock
        self._quiet_until = 0.0

    @property
    def was_quiet(self) -> bool:
        """Whether the state was quiet when it was last read, less than `REFRESH_SECONDS` ago."""
        return time.monotonic() < self._quiet_until

    def change(self, rule: Rule[T]) -> T:
        """Applies `rule` to the current state, stores the state that it returns, and returns its value."""
        for _try in range(TRIES):
            loaded = redis.attempt(self._load, otherwise=None)
            if loaded is None:
                break
            now, text = loaded
            before = breaker.parse_state(text, now) if text else BreakerState()
            after, value = rule(before, now)
            if after == before or redis.attempt(self._replacement(text, after), otherwise=False):
                self._note_change(before, after)
                return value
        with self._lock:
            before = self._own
            self._own, value = rule(before, time.monotonic())
            self._note_change(before, self._own)
        return value

    def _load(self, client: Any) -> tuple[float, str]:
        seconds, micros, text = client.register_script(_LOAD)([self._key])
        return int(seconds) + int(micros) / 1_000_000, text.decode(errors="replace")

    def _replacement(self, text: str, after: BreakerState) -> Callable[[Any], bool]:
        """Returns a function that stores `after` if the stored text is still `text`."""
        arguments = [text, breaker.serialize_state(after), RETENTION_SECONDS]
        return lambda client: bool(client.register_script(_REPLACE)([self._key], arguments))

    def _note_change(self, before: BreakerState, after: BreakerState) -> None:
        self._quiet_until = time.monotonic() + REFRESH_SECONDS if after.is_quiet else 0.0
        metrics.set_breaker_phase(self.channel, self.environment, self.account, after.phase)
        if after.phase is not before.phase:
            metrics.BREAKER_CHANGES.labels(
                self.channel, self.environment, self.account, after.phase.value
            ).inc()
            log.warning(
                "channel.breaker_changed",
                channel=self.channel,
                environment=self.environment,
                account=self.account,
                before=before.phase.value,
                after=after.phase.value,
                pause_seconds=after.pause,
            )
