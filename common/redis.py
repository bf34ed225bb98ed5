"""Redis as an accelerator: every caller has a fallback for the time when Redis is gone."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis
import structlog
from django.conf import settings
from django_redis import get_redis_connection
from kombu.exceptions import OperationalError as BrokerUnavailable
from redis.exceptions import NoScriptError
from redis.sentinel import Sentinel

T = TypeVar("T")
log = structlog.get_logger(__name__)

# After a failure a process does not use Redis for this time; then one thread tries. So an outage costs a process one
# timeout (settings.REDIS_TIMEOUT_SECONDS) per second, and not one per request.
PAUSE_AFTER_FAILURE_SECONDS = 1.0
UNAVAILABLE = (redis.RedisError, BrokerUnavailable, OSError)

_paused_until = 0.0  # 0: the last attempt succeeded
_trying = threading.Lock()


def attempt(use: Callable[["redis.Redis"], T], *, otherwise: T) -> T:
    """Runs `use` with a connection. Returns `otherwise` when Redis is unreachable, slow, full or refuses."""
    is_down = _paused_until > 0
    if is_down and (time.monotonic() < _paused_until or not _trying.acquire(blocking=False)):
        return otherwise
    try:
        answer = use(get_redis_connection("default"))
    except UNAVAILABLE as error:
        _pause(error)
        return otherwise
    else:
        _resume()
        return answer
    finally:
        if is_down:
            _trying.release()


class LuaScript:
    """A script that Redis runs by its hash. A Redis that does not know it, such as one that was restarted, gets its
    text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: "redis.Redis", names: Sequence[str], arguments: Sequence[str | int] = ()) -> Any:
        try:
            return client.evalsha(self._sha, len(names), *names, *arguments)
        except NoScriptError:
            return client.eval(self._text, len(names), *names, *arguments)


def open_client(*, timeout_seconds: float, connect_seconds: float | None = None) -> "redis.Redis":
    """A client of its own for one process or thread, with other time limits than those of requests."""
    address = settings.REDIS_ADDRESS
    limits = {"socket_timeout": timeout_seconds, "socket_connect_timeout": connect_seconds or timeout_seconds}
    if not address.sentinels:
        return redis.Redis.from_url(address.url, **limits)
    manager = Sentinel(address.sentinels, sentinel_kwargs=settings.SENTINEL_OPTIONS)  # type: ignore[no-untyped-call]
    credentials = {name: value for name in ("username", "password") if (value := getattr(address, name))}
    client: redis.Redis = manager.master_for(
        address.master_name, db=address.database, **credentials, **limits
    )  # type: ignore[no-untyped-call]
    return client


def _pause(error: Exception) -> None:
    global _paused_until
    if _paused_until == 0:  # each outage is logged once
        log.warning("redis.unavailable", error=str(error))
    _paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS


def _resume() -> None:
    global _paused_until
    if _paused_until > 0:
        _paused_until = 0.0
        log.info("redis.available")
