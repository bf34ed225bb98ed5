"""Wake-up hints ask a Celery worker to run a periodic task now. Losing one costs the wait for beat and nothing else."""

import redis
from celery import current_app
from django.conf import settings
from kombu.pools import producers

from common.redis import attempt


def send_hint(task_name: str) -> None:
    """Publishes the task, unless its queue is full or Redis is known to be down. Waits for Redis as requests do.

    Workers wait for the broker for seconds, on connections of their own (CELERY_BROKER_TRANSPORT_OPTIONS). RabbitMQ
    gets no hints: only beat and Celery's workers connect to it, so that its outages reach no request.
    """
    if not settings.BROKER_IS_REDIS:
        return
    attempt(lambda client: _publish(task_name) if has_room(client) else None, otherwise=None)


def has_room(client: "redis.Redis", queue: str = settings.CELERY_TASK_DEFAULT_QUEUE) -> bool:
    """Whether a queue in Redis takes another message. Each periodic task does all due work, so few are enough."""
    prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
    return int(client.llen(f"{prefix}{queue}")) < settings.TASK_QUEUE_LIMIT


def _publish(task_name: str) -> None:
    seconds = settings.REDIS_TIMEOUT_SECONDS
    options = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "max_retries": 0}
    broker = current_app.connection_for_write(transport_options=options)
    with producers[broker].acquire(block=True, timeout=seconds) as producer:
        current_app.send_task(task_name, producer=producer, retry=False, ignore_result=True)
