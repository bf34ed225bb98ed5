"""How far behind the ways out of the outbox are, read at scrape time through partial indexes."""

from collections.abc import Iterator

from django.db import OperationalError, connection
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import PoolTimeout

CAP = 10_000  # a backlog is counted so far

_DUE = """
FROM webhook_deliveries AS delivery JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.endpoint_id
WHERE delivery.status = 'pending' AND delivery.due_at <= now() AND endpoint.status = 'enabled'
"""
_BACKLOG = f"SELECT count(*) FROM (SELECT 1 {_DUE} LIMIT {CAP}) AS bounded"  # noqa: S608
_OLDEST = f"""
SELECT coalesce(extract(epoch FROM now() - (SELECT delivery.due_at {_DUE} ORDER BY 1 LIMIT 1)), 0)::float8
"""  # noqa: S608
_FAN_OUT = f"""
SELECT count(*) FROM (SELECT 1 FROM outbox_events WHERE fanned_out_at IS NULL LIMIT {CAP}) AS bounded
"""  # noqa: S608
_GAUGES = {
    "webhook_backlog": ("Webhook deliveries that are due", _BACKLOG),
    "webhook_oldest_due_seconds": ("How long ago the oldest due delivery fell due", _OLDEST),
    "webhook_fan_out_depth": ("Events whose deliveries are not made yet", _FAN_OUT),
}


class EventGauges(Collector):
    """A database that does not answer leaves its gauges out rather than failing the scrape."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with connection.cursor() as cursor:
                for name, (text, query) in _GAUGES.items():
                    cursor.execute(query)
                    yield GaugeMetricFamily(name, text, value=cursor.fetchone()[0])
        except (OperationalError, PoolTimeout):
            return
