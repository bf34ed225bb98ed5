"""A hint asks a worker to run a task now that beat would have run soon. Losing one costs that wait and nothing else."""

from typing import Any

import redis
from celery import Task, current_app
from django.conf import settings
from kombu.pools import producers

from common.redis import attempt

# Some ten of each periodic task.
MOST_WAITING = 200


def send_hint(task: "Task[Any, Any]", *arguments: Any) -> None:
    """Publishes the task, unless Redis is known to be down; waits for it no longer than requests may. Adds nothing to
    a queue that nobody works off.

    Workers wait for the broker for seconds, on connections of their own (CELERY_BROKER_TRANSPORT_OPTIONS).
    """
    attempt(lambda client: _publish(task, arguments) if has_room(client) else None, otherwise=None)


def has_room(client: "redis.Redis", queue: str = settings.CELERY_TASK_DEFAULT_QUEUE) -> bool:
    """Whether a queue of periodic tasks is short: each of them does all that is due, however many of it wait."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    return int(client.llen(f"{prefix}{queue}")) < MOST_WAITING


def _publish(task: "Task[Any, Any]", arguments: tuple[Any, ...]) -> None:
    seconds = settings.REDIS_TIMEOUT_SECONDS
    options = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "max_retries": 0}
    broker = current_app.connection_for_write(transport_options=options)
    with producers[broker].acquire(block=True, timeout=seconds) as producer:
        task.apply_async(args=arguments, producer=producer, retry=False)
