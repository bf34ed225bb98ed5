"""Traces, metrics and logs."""

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.base import LOCAL_STACK, env

# Collector of traces: the base address of OTLP over HTTP. Empty: no traces.
OTLP_ENDPOINT: str = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="").rstrip("/")
# The share of requests that is traced, from 0 to 1.
TRACE_SAMPLE_RATIO: float = env.float("TRACE_SAMPLE_RATIO", default=0.1)
if not 0 <= TRACE_SAMPLE_RATIO <= 1:
    raise ImproperlyConfigured("TRACE_SAMPLE_RATIO is the share of requests that is traced: from 0 to 1.")
# Port on which worker, beat and relay answer scrapes, each in a container of its own. 0: they share one machine with
# the gateway, whose /metrics shows their series too.
METRICS_PORT: int = env.int("METRICS_PORT", default=0)
# "json": one object per line. "console": for people.
LOG_FORMAT: str = env.str("LOG_FORMAT", default="console" if LOCAL_STACK else "json")
if LOG_FORMAT not in ("json", "console"):
    raise ImproperlyConfigured(f"LOG_FORMAT={LOG_FORMAT} is neither json nor console.")
# Least severe level that is logged.
LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING_CONFIG = "common.logs.configure_logging"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT}
