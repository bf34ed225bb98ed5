"""Limits the request rate of each API key, notes its last use, and reads a value for the view, in one round trip to
Redis.

The limit is GCRA, a leaky bucket that stores a single number: the time at which the bucket is empty again.
"""

import math
from typing import Any, cast
from uuid import UUID

from django.conf import settings

from common import redis
from merchants.errors import RateLimited

USAGE = "payment-gateway:key-usage"
MICROSECONDS = 1_000_000

# Uses the clock of Redis, so that hosts with different clocks share a bucket.
SCRIPT = redis.LuaScript("""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('HSET', KEYS[2], ARGV[3], time[1])
local value = KEYS[3] and redis.call('GET', KEYS[3]) or false
local interval = tonumber(ARGV[1])
if interval == 0 then return {0, value} end
local empty_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = empty_at - tonumber(ARGV[2]) - now
if wait > 0 then return {wait, false} end
empty_at = empty_at + interval
redis.call('SET', KEYS[1], empty_at, 'PX', math.ceil((empty_at - now) / 1000))
return {0, value}
""")


def count_request(*, key_id: UUID, read_name: str | None = None) -> bytes | None:
    """Counts one request, and returns the value of `read_name` in Redis. Raises `RateLimited`. Without Redis, every
    request passes."""
    rate, burst = settings.RATE_LIMIT_PER_SECOND, settings.RATE_LIMIT_BURST
    interval = round(MICROSECONDS / rate) if rate > 0 else 0
    arguments: list[int | str] = [interval, interval * max(burst - 1, 0), str(key_id)]
    names = [f"payment-gateway:rate-limit:{key_id}", USAGE, *([read_name] if read_name else [])]
    nothing: tuple[int, bytes | None] = (0, None)
    wait, value = redis.attempt(lambda client: SCRIPT.run(client, names, arguments), otherwise=nothing)
    if wait > 0:
        raise RateLimited(
            {"limit_per_second": rate, "burst": burst},
            headers={"Retry-After": str(math.ceil(wait / MICROSECONDS))},
        )
    return value


def pop_key_usage() -> dict[UUID, float]:
    """Returns and deletes each key's last use since the previous call, as Unix time."""

    def read_and_delete(client: Any) -> dict[bytes, bytes]:
        pipeline = client.pipeline(transaction=True)
        pipeline.hgetall(USAGE)
        pipeline.delete(USAGE)
        return cast(dict[bytes, bytes], pipeline.execute()[0])

    nothing: dict[bytes, bytes] = {}
    taken = redis.attempt(read_and_delete, otherwise=nothing)
    return {UUID(key_id.decode()): float(used_at) for key_id, used_at in taken.items()}
