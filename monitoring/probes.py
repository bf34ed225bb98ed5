"""The endpoints for machines: `/healthz`, `/readyz` and `/metrics`."""

import redis
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_redis import get_redis_connection
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from common.database_errors import classify_database_error
from common.metric_files import HostMetrics
from monitoring.event_gauges import EventGauges
from monitoring.gauges import BrokerGauges, DatabaseGauges


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Answers 200 when the database takes writes, so that payments work. The state of Redis is only reported."""
    checks = {"database": _database_takes_writes(), "redis": _redis_answers()}
    return JsonResponse(
        {"ready": checks["database"], "checks": checks}, status=200 if checks["database"] else 503
    )


def _database_takes_writes() -> bool:
    """Checks the session too: the pool discards sessions of a standby, but this one may have become read-only since."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('transaction_read_only'), EXISTS (SELECT FROM saga_instances)"
            )
            read_only, _any_saga = cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        if classify_database_error(error) is None:
            raise
        return False
    return bool(read_only == "off")


def _redis_answers() -> bool:
    try:
        return bool(get_redis_connection("default").ping())
    except redis.RedisError:
        return False


def metrics(request: HttpRequest) -> HttpResponse:
    """Metrics of every process of this host, and gauges read from the database and Redis."""
    registry = CollectorRegistry()
    for collector in (HostMetrics(), DatabaseGauges(), EventGauges(), BrokerGauges()):
        registry.register(collector)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
