"""The breaker's state of one line, shared by all processes through Redis, or kept by this process while Redis is
gone. An accelerator: without it every process finds out for itself that a channel is down."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from channels import breaker, metrics
from channels.breaker import State
from common import redis

T = TypeVar("T")
Rule = Callable[[State, float], tuple[State, T]]
log = structlog.get_logger(__name__)

PREFIX = "payment-gateway:channel-breaker"
RETENTION_SECONDS = 3600
# While all is well, other processes' news is looked for only so often: a good call costs nothing.
NEWS_SECONDS = 1.0
# Many processes may write at once; who loses this often decides alone.
TRIES = 8

# By Redis's own clock, so that processes with different ones agree.
_LOAD = "local t = redis.call('TIME') return {t[1], t[2], redis.call('GET', KEYS[1]) or ''}"
_REPLACE = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


class SharedState:
    def __init__(self, channel: str, environment: str) -> None:
        self.channel, self.environment = channel, environment
        self._key = f"{PREFIX}:{channel}:{environment}"
        self._lock = threading.Lock()
        self._own = State()  # by this process's monotonic clock
        self._quiet_until = 0.0

    @property
    def was_quiet(self) -> bool:
        """Nothing was wrong at the last look, which was just now."""
        return time.monotonic() < self._quiet_until

    def change(self, rule: Rule[T]) -> T:
        """Applies `rule` to the state as it is, and keeps what it makes of it. Answers what else it says."""
        for _try in range(TRIES):
            loaded = redis.attempt(self._load, otherwise=None)
            if loaded is None:
                break
            now, text = loaded
            before = breaker.read(text, now) if text else State()
            after, answer = rule(before, now)
            if after == before or redis.attempt(self._replacing(text, after), otherwise=False):
                self._note(before, after)
                return answer
        with self._lock:
            before = self._own
            self._own, answer = rule(before, time.monotonic())
            self._note(before, self._own)
        return answer

    def _load(self, client: Any) -> tuple[float, str]:
        seconds, micros, text = client.register_script(_LOAD)([self._key])
        return int(seconds) + int(micros) / 1_000_000, text.decode(errors="replace")

    def _replacing(self, text: str, after: State) -> Callable[[Any], bool]:
        arguments = [text, breaker.as_text(after), RETENTION_SECONDS]
        return lambda client: bool(client.register_script(_REPLACE)([self._key], arguments))

    def _note(self, before: State, after: State) -> None:
        self._quiet_until = time.monotonic() + NEWS_SECONDS if after.is_quiet else 0.0
        metrics.set_breaker_phase(self.channel, self.environment, after.phase)
        if after.phase is not before.phase:
            metrics.BREAKER_CHANGES.labels(self.channel, self.environment, after.phase.value).inc()
            log.warning(
                "channel.breaker",
                channel=self.channel,
                environment=self.environment,
                was=before.phase.value,
                now=after.phase.value,
                pause_seconds=after.pause,
            )
