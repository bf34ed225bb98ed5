"""What a process that serves no requests does first, to be seen from outside: worker, beat, relay."""

from django.conf import settings

from common import metric_files
from common.tracing import configure_tracing


def begin_process() -> None:
    """Traces, and the counts of this container on METRICS_PORT where that is set. Call it after the last fork."""
    configure_tracing(settings.SERVICE_NAME)
    serve_metrics()


def serve_metrics() -> None:
    """On one machine the gateway's /metrics counts for all processes, because they share a directory. A container
    has its own directory, and is asked by itself."""
    if settings.METRICS_PORT:
        metric_files.serve(settings.METRICS_PORT)
