"""Metrics of Celery's tasks."""

from prometheus_client import Gauge, Histogram

DURATION = Histogram(
    "celery_task_duration_seconds",
    "Time that tasks took",
    ["task", "outcome"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300),
)
LAST_SUCCESS = Gauge(
    "celery_task_last_success_timestamp_seconds",
    "When a task last succeeded: shows a periodic task that no longer runs",
    ["task"],
    multiprocess_mode="mostrecent",
)


def record_task(task: str, *, seconds: float, succeeded: bool) -> None:
    DURATION.labels(task, "success" if succeeded else "failure").observe(seconds)
    if succeeded:
        LAST_SUCCESS.labels(task).set_to_current_time()
