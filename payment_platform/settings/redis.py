"""Redis: an accelerator. Everything works without it."""

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

from common.redis_address import RedisAddress, parse_redis_url
from payment_platform.settings.base import env

# Redis host.
REDIS_HOST: str = env.str("REDIS_HOST", default="localhost")
# Redis port.
REDIS_PORT: int = env.int("REDIS_PORT", default=40379)
# Redis database number.
REDIS_DB: int = env.int("REDIS_DB", default=0)
# Redis's whole address, instead of the three above: `redis://user:password@host:6379/0`, `rediss://` for TLS, or
# `sentinel://host:26379,host:26379/mymaster/0` with the name that Sentinel has for the master.
_URL: str = env.str("REDIS_URL", default="")
REDIS_ADDRESS: RedisAddress = parse_redis_url(_URL or f"redis://{REDIS_HOST}:{REDIS_PORT}/{REDIS_DB}")
# How long a request waits for one answer of Redis: a Redis that hangs must not be worse than none.
REDIS_TIMEOUT_SECONDS = 0.2
_OPTIONS: dict[str, Any] = {
    "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_SECONDS,
    "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
    "CONNECTION_POOL_KWARGS": {"max_connections": 64},
}
# Password of the Sentinels, when they have one. That of the master is part of REDIS_URL.
_SENTINEL_PASSWORD: str = env.str("REDIS_SENTINEL_PASSWORD", default="")
# How to call a Sentinel. redis-py would try each one four times, with seconds between; the next Sentinel is better.
SENTINEL_OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
    "socket_timeout": REDIS_TIMEOUT_SECONDS,
    "retry": Retry(NoBackoff(), 0),
    **({"password": _SENTINEL_PASSWORD} if _SENTINEL_PASSWORD else {}),
}
if REDIS_ADDRESS.sentinels:
    _OPTIONS |= {
        "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
        # As the host of a URL, a name would lose its capital letters.
        "CONNECTION_POOL_KWARGS": {"max_connections": 64, "service_name": REDIS_ADDRESS.master_name},
        "SENTINELS": list(REDIS_ADDRESS.sentinels),
        "SENTINEL_KWARGS": SENTINEL_OPTIONS,
    }
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_ADDRESS.url,
        "OPTIONS": _OPTIONS,
    }
}
