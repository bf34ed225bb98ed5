"""Traces and metrics of the processes that serve no requests: worker, beat, relay."""

from django.conf import settings

from common import metric_files
from common.tracing import configure_tracing


def begin_process() -> None:
    """Starts tracing, and serves metrics where METRICS_PORT is set. Call it after the last fork."""
    configure_tracing(settings.SERVICE_NAME)
    serve_metrics()


def serve_metrics() -> None:
    """Serves the metrics of this container on METRICS_PORT.

    Processes of one machine share a directory, so the gateway's /metrics shows them all and METRICS_PORT is 0.
    """
    if settings.METRICS_PORT:
        metric_files.serve(settings.METRICS_PORT)
