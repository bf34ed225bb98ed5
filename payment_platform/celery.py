"""The Celery app: periodic housekeeping. Sagas, polls and webhooks have workers of their own, which need no broker."""

import os
import time
from contextvars import ContextVar
from typing import Any

import structlog
from celery import Celery, Task
from celery.signals import (
    beat_init,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_ready,
    worker_shutdown,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payment_platform.settings")

_task_started: ContextVar[float] = ContextVar("task_began")

# All packages with a tasks.py: the worker refuses tasks of any other.
TASK_PACKAGES = [
    "backoffice",
    "channels.simulator",
    "fees",
    "gateway",
    "ledger",
    "merchants",
    "monitoring",
    "payouts",
    "sagas",
    "settlements",
    "webhooks",
]

app = Celery("payment_platform", task_cls="payment_platform.periodic_task:PeriodicTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(TASK_PACKAGES)


@setup_logging.connect
def _leave_logging_to_django(**_event: Any) -> None:
    """Keeps Celery from setting up its own log format: it does not when a receiver of this signal exists."""


@worker_init.connect
def _start_tracing(**_event: Any) -> None:
    """Runs once: the worker's tasks are threads of one process (ADR 37)."""
    from django.conf import settings

    from common.tracing import configure_tracing

    configure_tracing(settings.SERVICE_NAME)


@worker_shutdown.connect
def _send_last_spans(**_event: Any) -> None:
    from common import tracing

    tracing.flush()


@worker_ready.connect
@beat_init.connect
def _serve_metrics(**_event: Any) -> None:
    from common.telemetry import serve_metrics

    serve_metrics()


@task_prerun.connect
def _start_task(task_id: str, task: Task[Any, Any], **_event: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)
    _task_started.set(time.monotonic())


@task_postrun.connect
def _finish_task(task: Task[Any, Any], state: str | None = None, **_event: Any) -> None:
    from common import database_pool, task_metrics

    seconds = time.monotonic() - _task_started.get()
    task_metrics.record_task(task.name, seconds=seconds, succeeded=state == "SUCCESS")
    database_pool.record_usage()
