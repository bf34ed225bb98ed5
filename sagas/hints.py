"""A wake-up hint tells one idle worker of a task queue to look for due sagas now. Losing one costs SAGA_SWEEP_SECONDS.

At most one hint per queue is out, however many are sent: it names no saga, because workers claim by themselves what is
due. A full, flushed or unreachable Redis therefore stops nothing.
"""

import threading
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import transaction

from common.redis import attempt

BLOCK_SECONDS = 1


def key_of(task_queue: str) -> str:
    """Where the hint of a queue lies in Redis: a list of at most one entry."""
    return f"payment-gateway:sagas:wake:{task_queue}"


def send(task_queue: str) -> None:
    """Sends the hint once the current transaction has committed."""
    transaction.on_commit(lambda: send_now(task_queue))


def send_now(task_queue: str) -> None:
    attempt(lambda client: _push(client, key_of(task_queue)), otherwise=None)


def _push(client: "redis.Redis", key: str) -> None:
    with client.pipeline(transaction=True) as pipeline:
        pipeline.lpush(key, "due")
        pipeline.ltrim(key, 0, 0)
        pipeline.execute()


def listen(
    task_queue: str, *, has_room: threading.Event, wake: Callable[[], None], stop: threading.Event
) -> None:
    """Calls `wake` for each hint until `stop` is set. Takes none while this worker has no room: others may have."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=BLOCK_SECONDS, socket_timeout=2 * BLOCK_SECONDS
    )
    with client:
        while not stop.is_set():
            if not has_room.wait(BLOCK_SECONDS):
                continue
            try:
                if client.blpop([key_of(task_queue)], timeout=BLOCK_SECONDS):
                    wake()
            except redis.RedisError:
                stop.wait(settings.SAGA_SWEEP_SECONDS)
