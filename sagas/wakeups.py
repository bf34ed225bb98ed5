"""A wake-up makes one idle worker of a task queue look for due sagas now. Losing one costs SAGA_SWEEP_SECONDS.

Redis holds at most one wake-up for each queue. It names no saga, because workers claim due sagas themselves. A full,
flushed or unreachable Redis therefore stops nothing.
"""

import threading
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import transaction

from common.redis import attempt, open_client

BLOCK_SECONDS = 1


def redis_key(task_queue: str) -> str:
    """The Redis list that holds the wake-up of a queue: at most one entry."""
    return f"payment-gateway:sagas:wake:{task_queue}"


def send_wakeup_after_commit(task_queue: str) -> None:
    """Sends the wake-up once the current transaction has committed."""
    transaction.on_commit(lambda: send_wakeup_now(task_queue))


def send_wakeup_now(task_queue: str) -> None:
    attempt(lambda client: _push(client, redis_key(task_queue)), otherwise=None)


def _push(client: "redis.Redis", key: str) -> None:
    with client.pipeline(transaction=True) as pipeline:
        pipeline.lpush(key, "due")
        pipeline.ltrim(key, 0, 0)
        pipeline.execute()


def listen_for_wakeups(
    task_queue: str, *, has_room: threading.Event, wake: Callable[[], None], stop: threading.Event
) -> None:
    """Calls `wake` for each wake-up until `stop` is set. Leaves them to other workers while this one has no room."""
    with open_client(timeout_seconds=2 * BLOCK_SECONDS, connect_seconds=BLOCK_SECONDS) as client:
        while not stop.is_set():
            if not has_room.wait(BLOCK_SECONDS):
                continue
            try:
                if client.blpop([redis_key(task_queue)], timeout=BLOCK_SECONDS):
                    wake()
            except redis.RedisError:
                stop.wait(settings.SAGA_SWEEP_SECONDS)
