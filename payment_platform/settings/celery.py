"""Celery: periodic tasks. Its queues are never the only record of work."""

from kombu import Queue

from payment_platform.schedule import beat_schedule
from payment_platform.settings.redis import REDIS_URL
from payment_platform.settings.sagas import SAGA_SWEEP_SECONDS

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ALWAYS_EAGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_DEFAULT_QUEUE = "periodic"
CELERY_TASK_QUEUES = [Queue("periodic"), Queue("sagas")]
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 5,
    "visibility_timeout": 120,
    # Gives a message up at once when the broker is gone: the next message of its kind has the same effect.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "global_keyprefix": "payment-gateway:celery:",
}
CELERY_BEAT_SCHEDULER = "payment_platform.beat:SteadyScheduler"
CELERY_BEAT_SCHEDULE = beat_schedule(sweep_seconds=SAGA_SWEEP_SECONDS)
