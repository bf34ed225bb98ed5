"""Redis as an accelerator: every caller has an answer for when it is gone (design section 1, rule 1)."""

import time
from collections.abc import Callable
from typing import TypeVar

import redis
import structlog
from django_redis import get_redis_connection

T = TypeVar("T")
log = structlog.get_logger(__name__)

# After a failure Redis is left alone this long, so that an outage costs one timeout a second and process,
# not one a request.
PAUSE_AFTER_FAILURE_SECONDS = 1.0
_paused_until = 0.0


def attempt(use: Callable[["redis.Redis"], T], *, otherwise: T) -> T:
    """Runs `use` with a connection; when Redis is unreachable, slow or refusing, answers `otherwise`."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return otherwise
    try:
        return use(get_redis_connection("default"))
    except redis.RedisError as error:
        _paused_until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
        log.warning("redis.unavailable", error=str(error))
        return otherwise
