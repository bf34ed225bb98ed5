"""The Celery app: sweeps on a beat, and hints. Losing all of its messages costs time, never money."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payment_platform.settings")

app = Celery("payment_platform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["sagas", "merchants", "idempotency", "gateway", "gateway.channels.simulator", "ops"])
