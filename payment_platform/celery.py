"""The Celery app: sweeps on a beat, and hints. Losing all of its messages costs time, never money."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payment_platform.settings")

app = Celery("payment_platform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["sagas", "merchants", "idempotency", "gateway", "gateway.channels.simulator", "ops"])


@worker_process_init.connect
def _trace_worker(**_event: Any) -> None:
    """In each child: the exporter's thread does not survive a fork."""
    from django.conf import settings

    from common.telemetry import configure_tracing

    configure_tracing(settings.SERVICE_NAME)


@worker_process_shutdown.connect
def _drop_gauges_of_worker(pid: int | None = None, **_event: Any) -> None:
    from prometheus_client import multiprocess

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ and pid is not None:
        multiprocess.mark_process_dead(pid)
