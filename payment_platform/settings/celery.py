"""Celery: periodic tasks. Its queues are never the only record of work."""

import ssl
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from payment_platform.schedule import beat_schedule
from payment_platform.settings.base import env
from payment_platform.settings.certificates import require_ca_file
from payment_platform.settings.redis import REDIS_ADDRESS, SENTINEL_OPTIONS
from payment_platform.settings.sagas import SAGA_SWEEP_SECONDS

# RabbitMQ as the broker: `amqp://user:password@host:5672/vhost`, `amqps://` for TLS, several nodes with semicolons.
# Empty: Redis is the broker.
_BROKER_URL: str = env.str("CELERY_BROKER_URL", default="")
CELERY_BROKER_URL = _BROKER_URL or REDIS_ADDRESS.broker_url
BROKER_IS_REDIS = not _BROKER_URL
# PEM file with the authorities that may sign RabbitMQ's certificate. Empty: those of the operating system.
_BROKER_CA_FILE: str = env.str("CELERY_BROKER_CA_FILE", default="")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ALWAYS_EAGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_DEFAULT_QUEUE = "periodic"
CELERY_BEAT_SCHEDULER = "payment_platform.beat:SteadyScheduler"
CELERY_BEAT_SCHEDULE = beat_schedule(sweep_seconds=SAGA_SWEEP_SECONDS)

# Messages in a queue of periodic tasks, at most: some ten of each task. An alert fires below it.
TASK_QUEUE_LIMIT = 200
_QUEUES = ("periodic", "sagas")


def _is_amqp(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
        return parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        return False


if _BROKER_URL and not all(_is_amqp(url) for url in _BROKER_URL.split(";")):
    raise ImproperlyConfigured(
        "CELERY_BROKER_URL: give amqp://user:password@host:5672/vhost (amqps:// for TLS), several with semicolons."
        " Leave it empty for Redis (REDIS_URL)."
    )
if len({url.strip().partition(":")[0] for url in _BROKER_URL.split(";")}) > 1:
    raise ImproperlyConfigured("CELERY_BROKER_URL: all addresses begin with amqp://, or all with amqps://.")
if _BROKER_URL.startswith("amqps:"):
    # Without `server_hostname`, a certificate of any name would do; None means the name in the address.
    CELERY_BROKER_USE_SSL: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    if _BROKER_CA_FILE:
        CELERY_BROKER_USE_SSL["ca_certs"] = require_ca_file("CELERY_BROKER_CA_FILE", _BROKER_CA_FILE)
if BROKER_IS_REDIS:
    CELERY_TASK_PUBLISH_RETRY = False
    CELERY_TASK_QUEUES = [Queue(name) for name in _QUEUES]
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "socket_connect_timeout": 0.5,
        "socket_timeout": 5,
        "visibility_timeout": 120,
        # Gives a message up at once when the broker is gone: the next message of its kind has the same effect.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
        "global_keyprefix": "payment-gateway:celery:",
        **(
            {"master_name": REDIS_ADDRESS.master_name, "sentinel_kwargs": SENTINEL_OPTIONS}
            if REDIS_ADDRESS.sentinels
            else {}
        ),
    }
else:
    # A publisher's connection is renewed by the retry alone. Three: each node of a cluster is tried.
    CELERY_TASK_PUBLISH_RETRY = True
    CELERY_TASK_PUBLISH_RETRY_POLICY = {
        "max_retries": 3,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.5,
    }
    # Replicated among the nodes. A full queue loses its oldest message; each task does all due work.
    CELERY_TASK_QUEUES = [
        Queue(
            name,
            durable=True,
            queue_arguments={
                "x-queue-type": "quorum",
                "x-max-length": TASK_QUEUE_LIMIT,
                "x-overflow": "drop-head",
            },
        )
        for name in _QUEUES
    ]
    CELERY_BROKER_CONNECTION_TIMEOUT = 2
    # A worker notices within 20 s that the host of its node has vanished.
    CELERY_BROKER_HEARTBEAT = 10
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        # A send ends when most nodes have stored the message.
        "confirm_publish": True,
        "max_retries": 3,
        "interval_start": 0,
        "interval_step": 0.2,
        "interval_max": 0.5,
    }
    CELERY_WORKER_CONSUMER = "payment_platform.worker_consumer:PlatformConsumer"
    # Its queue would be one that RabbitMQ 4 deprecates; the platform does not use remote control.
    CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
    # Longer than this without a confirmation, and beat tries another node.
    for _entry in CELERY_BEAT_SCHEDULE.values():
        _entry["options"]["confirm_timeout"] = 5
