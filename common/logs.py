"""Logging: JSON lines in production, readable lines in a terminal. Both are redacted (`common.redaction`)."""

import logging
import logging.config
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

from common.redaction import redact_log_event

Event = MutableMapping[str, Any]


def configure_logging(config: Mapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace_id,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_log_event,
    ]
    as_json = config["format"] == "json"
    rendering: list[Any] = (
        [structlog.processors.JSONRenderer(ensure_ascii=False)]
        if as_json
        else [_indent_tracebacks, structlog.dev.ConsoleRenderer(colors=False)]
    )
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
                    "foreign_pre_chain": shared,
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            "loggers": {
                # Django's own handlers would print past the processors.
                "django": {"handlers": []},
                "django.server": {"handlers": [], "propagate": True},
                # Refused requests are counted in the metrics; only our own failures are logged.
                "django.request": {"level": "ERROR"},
                # Warns for each batch that a trace collector refuses.
                "opentelemetry": {"level": "ERROR"},
            },
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _add_trace_id(_logger: Any, _method: str, event: Event) -> Event:
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
    return event


def _indent_tracebacks(_logger: Any, _method: str, event: Event) -> Event:
    """Indents tracebacks, so that no line of an exception's text looks like a log line."""
    for name in ("exception", "stack"):
        if isinstance(event.get(name), str):
            event[name] = "\n".join(f"  | {line}" for line in event[name].splitlines())
    return event
