"""Gauges of events and webhooks that wait to be sent, read at scrape time."""

from collections.abc import Iterator

from django.db import OperationalError, connection
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import PoolTimeout

from monitoring.lag import LAGS

CAP = 10_000  # counting stops here


class EventGauges(Collector):
    """Without the database, these gauges are missing, and the scrape succeeds."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            with connection.cursor() as cursor:
                cursor.execute(LAGS["webhooks"], {"most": CAP})
                due, oldest_seconds = cursor.fetchone()
                cursor.execute(LAGS["fan_out"], {"most": CAP})
                not_fanned_out, _age = cursor.fetchone()
        except (OperationalError, PoolTimeout):
            return
        yield GaugeMetricFamily("webhook_backlog", "Webhook deliveries that are due", value=due)
        yield GaugeMetricFamily(
            "webhook_oldest_due_seconds",
            "How long ago the oldest due delivery fell due",
            value=oldest_seconds or 0,
        )
        yield GaugeMetricFamily(
            "webhook_fan_out_depth", "Events that were not fanned out yet", value=not_fanned_out
        )
