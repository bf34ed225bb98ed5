"""What machines ask of the gateway: is it alive, can it serve, what does it count."""

import redis
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_redis import get_redis_connection
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from psycopg_pool import PoolTimeout

from common.metric_files import HostMetrics
from ops.event_gauges import EventGauges
from ops.gauges import BrokerGauges, DatabaseGauges


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when payments can be taken: the database answers. Redis is reported and does not decide."""
    checks = {"database": _database_answers(), "redis": _redis_answers()}
    return JsonResponse(
        {"ready": checks["database"], "checks": checks}, status=200 if checks["database"] else 503
    )


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM saga_instances LIMIT 1")
    except (OperationalError, PoolTimeout):
        return False
    return True


def _redis_answers() -> bool:
    try:
        return bool(get_redis_connection("default").ping())
    except redis.RedisError:
        return False


def metrics(request: HttpRequest) -> HttpResponse:
    """Counts of every process of this host, web and Celery alike, and gauges read from the database and Redis."""
    registry = CollectorRegistry()
    for collector in (HostMetrics(), DatabaseGauges(), EventGauges(), BrokerGauges()):
        registry.register(collector)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
