"""Redis: an accelerator. Everything works without it."""

from payment_platform.settings.base import env

# Redis host.
REDIS_HOST: str = env.str("REDIS_HOST", default="localhost")
# Redis port.
REDIS_PORT: int = env.int("REDIS_PORT", default=40379)
# Redis database number.
REDIS_DB: int = env.int("REDIS_DB", default=0)
REDIS_URL = f"redis://{REDIS_HOST}:{REDIS_PORT}/{REDIS_DB}"
# How long a request waits for one answer of Redis: a Redis that hangs must not be worse than none.
REDIS_TIMEOUT_SECONDS = 0.2
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "CONNECTION_POOL_KWARGS": {"max_connections": 64},
        },
    }
}
